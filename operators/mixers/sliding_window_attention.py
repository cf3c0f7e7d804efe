"""Sliding-window attention with a rolling cache, the local mixer of Gemma 3 and LFM3."""

from dataclasses import dataclass
from typing import ClassVar

from operators.errors import ArchitectureError
from operators.mixer import Operator
from operators.mixers.grouped_query_attention import (
    AttentionModule,
    GroupQueryAttention,
    lower_attention,
    naive_attention,
)

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
        if self.window < 1:
            raise ArchitectureError(f"{self.name}.window", self.window, "must be positive")

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


SLIDING_WINDOW_ATTENTION = Operator(SlidingWindowAttention, AttentionModule, naive_attention, lower_attention)
