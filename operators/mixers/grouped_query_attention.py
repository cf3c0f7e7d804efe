"""Grouped-query attention over the whole context (Ainslie et al. 2023), the global mixer of LFM2 and Qwen3."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.errors import ArchitectureError
from operators.graph import MICROSOFT, GraphBuilder
from operators.mixer import Operator
from operators.norms import RMSNorm
from operators.rotary import rotary_angles, rotate

QK_NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class GroupQueryAttention:
    """Softmax attention in which `heads` query heads share `kv_heads` key and value heads."""

    heads: int
    kv_heads: int
    head_size: int = 64
    qk_norm: bool = True
    rotary_base: float = 1e6

    code: ClassVar[str] = "A"
    name: ClassVar[str] = "grouped_query_attention"

    def check(self, hidden_size: int) -> None:
        """Refuse heads that can't be grouped or rotated."""
        for field in ("heads", "kv_heads", "head_size"):
            if getattr(self, field) < 1:
                raise ArchitectureError(f"{self.name}.{field}", getattr(self, field), "must be positive")
        if self.heads % self.kv_heads:
            raise ArchitectureError(
                f"{self.name}.kv_heads", self.kv_heads, f"must divide heads = {self.heads}"
            )
        if self.head_size % 16:
            raise ArchitectureError(f"{self.name}.head_size", self.head_size, "must be a multiple of 16")

    def parameters(self, hidden_size: int) -> int:
        """Count query, key, value and output projections, and the two norms of a head if there are any."""
        query = self.heads * self.head_size
        key_value = 2 * self.kv_heads * self.head_size
        norms = 2 * self.head_size if self.qk_norm else 0
        return hidden_size * (2 * query + key_value) + norms

    def state_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes of keys and values of every token of the context."""
        return 2 * self.kv_heads * self.head_size * self.cached_tokens(context_tokens) * 4

    def flops_per_token(self, hidden_size: int, context_tokens: int) -> int:
        """Operations of the projections and of scores and weighted values over the attended tokens."""
        attended = self.cached_tokens(context_tokens)
        return 2 * self.parameters(hidden_size) + 4 * self.heads * self.head_size * attended

    def cached_tokens(self, context_tokens: int) -> int:
        """Tokens whose keys and values are kept."""
        return context_tokens

    @property
    def attention_window(self) -> int | None:
        """Tokens that a query may see, itself included; None for all."""
        return None


KeyValueCache = tuple[Tensor, Tensor, int]
"""Keys and values (batch, kv_heads, tokens, head_size) and the number of tokens seen so far."""


class AttentionModule(nn.Module):
    """Torch form of full and sliding-window attention; one fused projection for query, key and value."""

    def __init__(self, config: Any, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        self.sizes = [config.heads * config.head_size] + [config.kv_heads * config.head_size] * 2
        self.qkv_proj = nn.Linear(hidden_size, sum(self.sizes), bias=False)
        self.out_proj = nn.Linear(self.sizes[0], hidden_size, bias=False)
        if config.qk_norm:
            self.q_norm = RMSNorm(config.head_size, QK_NORM_EPSILON)
            self.k_norm = RMSNorm(config.head_size, QK_NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, tokens, d) to (batch, tokens, d), causally."""
        query, key, value = self.project(x, first_position=0)
        attended = functional.scaled_dot_product_attention(
            query, *self._repeat(key, value), **self._mask(x.shape[1], x.device)
        )
        return self._merge(attended)

    def initial_state(self, batch: int) -> KeyValueCache:
        """Return an empty cache."""
        empty = self.out_proj.weight.new_zeros(batch, self.config.kv_heads, 0, self.config.head_size)
        return empty, empty, 0

    def step(self, x: Tensor, state: KeyValueCache) -> tuple[Tensor, KeyValueCache]:
        """Map one token (batch, 1, d) and the cache to the output and the grown (or rolled) cache."""
        keys, values, seen = state
        query, key, value = self.project(x, first_position=seen)
        keys, values = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
        if self.config.attention_window is not None:
            keys, values = (cache[:, :, -self.config.attention_window :] for cache in (keys, values))
        attended = functional.scaled_dot_product_attention(query, *self._repeat(keys, values))
        return self._merge(attended), (keys, values, seen + 1)

    def project(self, x: Tensor, first_position: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value heads (batch, heads, tokens, head_size), normed and rotated."""
        query, key, value = (
            part.unflatten(-1, (-1, self.config.head_size)).transpose(1, 2)  # (b, h, t, head_size)
            for part in self.qkv_proj(x).split(self.sizes, dim=-1)
        )
        if self.config.qk_norm:
            query, key = self.q_norm(query), self.k_norm(key)
        positions = torch.arange(first_position, first_position + x.shape[1], device=x.device)
        cosines, sines = (
            table.to(x.dtype)
            for table in rotary_angles(positions, self.config.head_size, self.config.rotary_base)
        )
        return rotate(query, cosines, sines), rotate(key, cosines, sines), value

    def _repeat(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        groups = self.config.heads // self.config.kv_heads
        if groups == 1:
            return key, value
        return key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)

    def _mask(self, tokens: int, device: torch.device) -> dict[str, Any]:
        window = self.config.attention_window
        if window is None or window >= tokens:
            return {"is_causal": True}
        distance = torch.arange(tokens, device=device)[:, None] - torch.arange(tokens, device=device)
        return {"attn_mask": (distance >= 0) & (distance < window)}

    def _merge(self, attended: Tensor) -> Tensor:
        return self.out_proj(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def naive_attention(module: AttentionModule, x: Tensor) -> Tensor:
    """Compute `AttentionModule.forward` query by query with explicit softmax over the visible tokens."""
    config = module.config
    query, key, value = module.project(x, first_position=0)
    rows = []
    for t in range(x.shape[1]):
        start = 0 if config.attention_window is None else max(0, t + 1 - config.attention_window)
        heads = []
        for head in range(config.heads):
            group = head // (config.heads // config.kv_heads)
            scores = (key[:, group, start : t + 1] * query[:, head, t, None]).sum(-1) / config.head_size**0.5
            weights = scores.softmax(dim=-1)[..., None]  # (b, visible, 1)
            heads.append((weights * value[:, group, start : t + 1]).sum(dim=1))
        rows.append(torch.cat(heads, dim=-1))
    return module.out_proj(torch.stack(rows, dim=1))  # type: ignore[no-any-return]


def lower_attention(graph: GraphBuilder, config: Any, hidden_size: int, x: str, prefix: str) -> str:
    """Append the fused projection, head norms, GroupQueryAttention with its cache, and the output projection."""
    query_size, kv_size = config.heads * config.head_size, config.kv_heads * config.head_size
    projected = graph.matmul(x, f"{prefix}.qkv_proj", hidden_size, query_size + 2 * kv_size)
    operands = [projected, "", ""]
    if config.qk_norm:
        query, key, value = graph.split(projected, (query_size, kv_size, kv_size))
        query = _norm_heads(graph, query, f"{prefix}.q_norm.weight", config.heads, config.head_size)
        key = _norm_heads(graph, key, f"{prefix}.k_norm.weight", config.kv_heads, config.head_size)
        operands = [query, key, value]
    attended = _attend(graph, config, operands)
    return graph.matmul(attended, f"{prefix}.out_proj", query_size, hidden_size)


def _attend(graph: GraphBuilder, config: Any, operands: list[str]) -> str:
    window = config.attention_window
    rolling = window is not None and window < graph.context_capacity
    capacity = config.cache_capacity(graph.context_capacity) if rolling else graph.context_capacity
    shape = (graph.batch, config.kv_heads, capacity, config.head_size)
    past_key, present_key = graph.state("key", shape, shared_buffer=True)
    past_value, present_value = graph.state("value", shape, shared_buffer=True)
    cosines, sines = _rotary_tables(graph, config.head_size, config.rotary_base)
    graph.uses_sequence_lengths = True
    out = graph.fresh("attended")
    windowed = {"local_window_size": window, "sliding_window_cache": 1} if rolling else {}
    graph.append(
        "GroupQueryAttention",
        [*operands, past_key, past_value, "seqlens_k", "total_sequence_length", cosines, sines],
        [out, present_key, present_value], MICROSOFT,
        num_heads=config.heads, kv_num_heads=config.kv_heads, do_rotary=1, **windowed,
    )  # fmt: skip
    return out


def _norm_heads(graph: GraphBuilder, x: str, parameter: str, heads: int, head_size: int) -> str:
    by_head = graph.reshape(x, (0, 0, heads, head_size))
    normed = graph.rms_norm(by_head, parameter, head_size, QK_NORM_EPSILON)
    return graph.reshape(normed, (0, 0, heads * head_size))


def _rotary_tables(graph: GraphBuilder, head_size: int, base: float) -> tuple[str, str]:
    """Compute the tables from a Range inside the graph: ONNX Runtime folds them at load, and the file stays small."""
    key = f"rotary_{head_size}_{base:g}"
    cosines, sines = f"{key}_cos", f"{key}_sin"
    if not any(cosines in node.output for node in graph.nodes):
        frequencies = [base ** (-2 * i / head_size) for i in range(head_size // 2)]
        positions = graph.float_constant(
            "positions", range(graph.context_capacity), (graph.context_capacity, 1)
        )
        rates = graph.float_constant(f"{key}_rates", frequencies, (1, head_size // 2))
        angles = graph.node("Mul", positions, rates)
        graph.append("Cos", [angles], [cosines], "")
        graph.append("Sin", [angles], [sines], "")
    return cosines, sines


GROUPED_QUERY_ATTENTION = Operator(GroupQueryAttention, AttentionModule, naive_attention, lower_attention)
