"""Sliding-window attention with a rolling cache, the local mixer of Gemma 3 and LFM3."""

from dataclasses import dataclass
from typing import ClassVar

from operators.field_checks import require_whole
from operators.mixer import Operator
from operators.mixers.grouped_query_attention import (
    AttentionModule,
    GroupQueryAttention,
    lower_attention,
    naive_attention,
)
from operators.sizing import Options, Sizing, heads_group, heads_of

CACHE_SLACK_TOKENS = 64
"""Room beyond the window: ONNX Runtime then compacts the cache once in 65 steps instead of at every one."""


@dataclass(frozen=True)
class SlidingWindowAttention(GroupQueryAttention):
    """Grouped-query attention in which a token sees itself and the `window` - 1 tokens before it."""

    window: int = 256

    code: ClassVar[str] = "S"
    name: ClassVar[str] = "sliding_window_attention"

    def check(self, hidden_size: int) -> None:
        """Refuse an empty window, and whatever attention refuses."""
        super().check(hidden_size)
        require_whole(f"{self.name}.window", self.window)

    def cached_tokens(self, context_tokens: int) -> int:
        """Tokens whose keys and values are kept."""
        return min(context_tokens, self.window)

    def cache_capacity(self, context_capacity: int) -> int:
        """Rows of the rolling cache: the window and its slack, never more than a full cache."""
        return min(context_capacity, self.window + CACHE_SLACK_TOKENS)

    @property
    def attention_window(self) -> int | None:
        """Tokens that a query may see, itself included."""
        return self.window


def _sized(hidden_size: int, options: Options) -> SlidingWindowAttention:
    heads = heads_of(hidden_size, options)
    return SlidingWindowAttention(heads, options["kv_heads"], options["head_size"], window=options["window"])


def _options(mixer: SlidingWindowAttention) -> dict[str, int]:
    return {"head_size": mixer.head_size, "kv_heads": mixer.kv_heads, "window": mixer.window}


SIZING = Sizing(
    defaults={"head_size": (64,), "kv_heads": (2, 1), "window": (256,)},
    smallest={"head_size": 16, "kv_heads": 1, "window": 1},
    fits=heads_group,
    build=_sized,
    read=_options,
)

SLIDING_WINDOW_ATTENTION = Operator(
    SlidingWindowAttention,
    AttentionModule,
    naive_attention,
    lower_attention,
    SIZING,
    small=SlidingWindowAttention(heads=4, kv_heads=4, head_size=16, rotary_base=1e4, window=8),
)
