"""How search derives each token mixer from the hidden size and a few options.

A rule makes the heads fill the hidden size, so that mixers of one width differ in kind and not in inner size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from operators.mixer import Mixer
from operators.mixers.gated_delta_net import GatedDeltaNet
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.linear_attention import LinearAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention

Options = Mapping[str, int]


@dataclass(frozen=True)
class MixerRule:
    """One mixer as search sees it.

    `defaults` names every option with the values it may take when a space does not say; `smallest` is the
    least value that makes sense. `build` makes the mixer for a hidden size that `fits`; `read` gives its
    options back.
    """

    code: str
    defaults: Mapping[str, tuple[int, ...]]
    smallest: Mapping[str, int]
    fits: Callable[[int, Options], bool]
    build: Callable[[int, Options], Mixer]
    read: Callable[[Any], dict[str, int]]


def _always(hidden_size: int, options: Options) -> bool:
    return True


def _heads_fill(hidden_size: int, options: Options) -> bool:
    return hidden_size % options["head_size"] == 0


def _heads_group(hidden_size: int, options: Options) -> bool:
    return _heads_fill(hidden_size, options) and _heads(hidden_size, options) % options["kv_heads"] == 0


def _heads(hidden_size: int, options: Options) -> int:
    return hidden_size // options["head_size"]


def _short_conv(hidden_size: int, options: Options) -> Mixer:
    return ShortConv(kernel_size=options["kernel_size"])


def _attention(hidden_size: int, options: Options) -> Mixer:
    return GroupQueryAttention(_heads(hidden_size, options), options["kv_heads"], options["head_size"])


def _sliding_window(hidden_size: int, options: Options) -> Mixer:
    heads = _heads(hidden_size, options)
    return SlidingWindowAttention(heads, options["kv_heads"], options["head_size"], window=options["window"])


def _gated_delta_net(hidden_size: int, options: Options) -> Mixer:
    heads, size = _heads(hidden_size, options), options["head_size"]
    return GatedDeltaNet(heads, heads, size, size, options["conv_kernel_size"])


def _linear_attention(hidden_size: int, options: Options) -> Mixer:
    # Keys half as wide as values, as in the paper: the memory is then half of the delta net's.
    heads, size = _heads(hidden_size, options), options["head_size"]
    return LinearAttention(heads, key_head_size=size // 2, value_head_size=size)


def _read_attention(mixer: GroupQueryAttention) -> dict[str, int]:
    return {"head_size": mixer.head_size, "kv_heads": mixer.kv_heads}


MIXER_RULES: Mapping[str, MixerRule] = MappingProxyType(
    {
        "short_conv": MixerRule(
            code="C",
            defaults={"kernel_size": (3,)},
            smallest={"kernel_size": 2},
            fits=_always,
            build=_short_conv,
            read=lambda mixer: {"kernel_size": mixer.kernel_size},
        ),
        "grouped_query_attention": MixerRule(
            code="A",
            defaults={"head_size": (64,), "kv_heads": (2, 1)},
            smallest={"head_size": 16, "kv_heads": 1},
            fits=_heads_group,
            build=_attention,
            read=_read_attention,
        ),
        "sliding_window_attention": MixerRule(
            code="S",
            defaults={"head_size": (64,), "kv_heads": (2, 1), "window": (256,)},
            smallest={"head_size": 16, "kv_heads": 1, "window": 1},
            fits=_heads_group,
            build=_sliding_window,
            read=lambda mixer: {**_read_attention(mixer), "window": mixer.window},
        ),
        "gated_delta_net": MixerRule(
            code="D",
            defaults={"head_size": (64,), "conv_kernel_size": (4,)},
            smallest={"head_size": 16, "conv_kernel_size": 2},
            fits=_heads_fill,
            build=_gated_delta_net,
            read=lambda mixer: {
                "head_size": mixer.value_head_size,
                "conv_kernel_size": mixer.conv_kernel_size,
            },
        ),
        "linear_attention": MixerRule(
            code="L",
            defaults={"head_size": (64,)},
            smallest={"head_size": 16},
            fits=_heads_fill,
            build=_linear_attention,
            read=lambda mixer: {"head_size": mixer.value_head_size},
        ),
    }
)

NAME_OF_CODE: Mapping[str, str] = MappingProxyType({rule.code: name for name, rule in MIXER_RULES.items()})
"""The mixer's name for each letter of a layout."""

HEAD_SIZE_STEP = 16
"""Head sizes are multiples of this, as rotary embeddings and the kernels need."""
