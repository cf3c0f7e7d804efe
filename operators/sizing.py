"""How a mixer is derived from the hidden size and a few options, so that a search need not know what it is made of.

Heads fill the hidden size, so that mixers of one width differ in kind and not in inner size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from operators.mixer import Mixer

Options = Mapping[str, int]

HEAD_SIZE_STEP = 16
"""Head sizes are multiples of this, as rotary embeddings and the kernels need."""


@dataclass(frozen=True)
class Sizing:
    """The options of one mixer.

    `defaults` names every option with the values it may take when a space does not say; `smallest` is the
    least value that makes sense. `build` makes the mixer for a hidden size that `fits`; `read` gives its
    options back.
    """

    defaults: Mapping[str, tuple[int, ...]]
    smallest: Mapping[str, int]
    fits: Callable[[int, Options], bool]
    build: Callable[[int, Options], Mixer]
    read: Callable[[Any], dict[str, int]]


def always_fits(hidden_size: int, options: Options) -> bool:
    """For mixers that any hidden size suits."""
    return True


def heads_fill(hidden_size: int, options: Options) -> bool:
    """Tell whether heads of the option `head_size` fill the hidden size."""
    return hidden_size % options["head_size"] == 0


def heads_group(hidden_size: int, options: Options) -> bool:
    """Tell whether heads fill the hidden size and share the option `kv_heads` evenly."""
    return heads_fill(hidden_size, options) and heads_of(hidden_size, options) % options["kv_heads"] == 0


def heads_of(hidden_size: int, options: Options) -> int:
    """Count the heads of the option `head_size` in a hidden size."""
    return hidden_size // options["head_size"]
