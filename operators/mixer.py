"""What every token mixer is made of: a frozen config and the operations that the registry needs for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from operators.sizing import Sizing


@runtime_checkable
class Mixer(Protocol):
    """A frozen dataclass describing one token mixer; hashable, made of plain JSON values."""

    code: ClassVar[str]
    """One upper-case letter, unique in a registry: the mixer's sign in a layout string."""
    name: ClassVar[str]
    """Snake-case name, unique in a registry: the mixer's key in files and reports."""

    def check(self, hidden_size: int) -> None:
        """Raise ArchitectureError where a field is impossible at this hidden size."""

    def parameters(self, hidden_size: int) -> int:
        """Count trainable parameters, the norm before the mixer excluded."""

    def state_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes of fp32 state that one sequence holds after `context_tokens` tokens."""

    def state_traffic_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes of state that one decode step reads and writes at a context of `context_tokens` tokens."""

    def flops_per_token(self, hidden_size: int, context_tokens: int) -> int:
        """Multiply-adds times two of one decode step at a context of `context_tokens` tokens."""


@dataclass(frozen=True)
class Operator:
    """The complete entry of one mixer in a registry.

    `module(config, hidden_size)` returns a torch module with `forward(x)` over a whole sequence, `step(x, state)` for
    one decode step and `initial_state(batch)`. `naive` is the same map as `forward`, token by token, for tests.
    `lower(graph, config, hidden_size, x, prefix)` appends the mixer's nodes to an ONNX graph. `sizing` derives the
    config from a hidden size and a few options, for the search. `small` is the form in which quality proxies train
    the mixer, at hidden size 64.
    """

    config: type[Any]
    module: Callable[..., Any]
    naive: Callable[..., Any]
    lower: Callable[..., str]
    sizing: "Sizing"
    small: Mixer
