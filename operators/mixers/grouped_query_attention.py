"""Grouped-query attention over the whole context (Ainslie et al. 2023), the global mixer of LFM2, LFM3 and Qwen."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.errors import ArchitectureError, LoweringError
from operators.field_checks import require_positive, require_truth, require_whole
from operators.graph import MICROSOFT, GraphBuilder
from operators.mixer import Operator
from operators.norms import RMSNorm
from operators.rotary import ROTATED_STEP, Rotation, rotary_angles, rotate
from operators.sizing import HEAD_SIZE_STEP, Options, Sizing, heads_group, heads_of

OUTPUT_GATES = ("none", "element", "head")


@dataclass(frozen=True)
class GroupQueryAttention:
    """Softmax attention in which `heads` query heads share `kv_heads` key and value heads.

    `rotary_share` and `rotary_spread` are those of `operators.rotary.Rotation`. `output_gate` multiplies what was
    attended by a sigmoid projected from the input: of each "element" (Qwen3.5), of each "head" (LFM3), or "none".
    """

    heads: int
    kv_heads: int
    head_size: int = 64
    qk_norm: bool = True
    rotary_base: float = 1e6
    qk_norm_epsilon: float = 1e-6
    rotary_share: float = 1.0
    rotary_spread: bool = False
    output_gate: str = "none"

    code: ClassVar[str] = "A"
    name: ClassVar[str] = "grouped_query_attention"

    def check(self, hidden_size: int) -> None:
        """Refuse heads that can't be grouped or rotated."""
        for field in ("heads", "kv_heads", "head_size"):
            require_whole(f"{self.name}.{field}", getattr(self, field))
        for field in ("qk_norm", "rotary_spread"):
            require_truth(f"{self.name}.{field}", getattr(self, field))
        require_positive(f"{self.name}.qk_norm_epsilon", self.qk_norm_epsilon)
        if self.heads % self.kv_heads:
            raise ArchitectureError(
                f"{self.name}.kv_heads", self.kv_heads, f"must divide heads = {self.heads}"
            )
        if self.head_size % HEAD_SIZE_STEP:
            way_out = f"must be a multiple of {HEAD_SIZE_STEP}"
            raise ArchitectureError(f"{self.name}.head_size", self.head_size, way_out)
        self._check_rotation()
        if self.output_gate not in OUTPUT_GATES:
            raise ArchitectureError(
                f"{self.name}.output_gate", self.output_gate, f"use one of {OUTPUT_GATES}"
            )

    def _check_rotation(self) -> None:
        require_positive(f"{self.name}.rotary_base", self.rotary_base)
        share = self.rotary_share
        is_share = isinstance(share, int | float) and 0 <= share <= 1
        if not is_share or self.rotation.rotated_size % ROTATED_STEP:
            way_out = (
                f"use a share from 0 to 1 of {self.head_size} elements that is a multiple of {ROTATED_STEP}"
            )
            raise ArchitectureError(f"{self.name}.rotary_share", share, way_out)

    @property
    def rotation(self) -> Rotation:
        """How queries and keys are rotated."""
        return Rotation(self.head_size, self.rotary_base, self.rotary_share, self.rotary_spread)

    @property
    def projected_sizes(self) -> tuple[int, ...]:
        """Widths of the fused input projection: query, key, value and (if there is one) the output gate."""
        query, key_value = self.heads * self.head_size, self.kv_heads * self.head_size
        gate = {"none": 0, "element": query, "head": self.heads}[self.output_gate]
        return (query, key_value, key_value, gate) if gate else (query, key_value, key_value)

    def parameters(self, hidden_size: int) -> int:
        """Count query, key, value, gate and output projections, and the two norms of a head if there are any."""
        norms = 2 * self.head_size if self.qk_norm else 0
        return hidden_size * (sum(self.projected_sizes) + self.heads * self.head_size) + norms

    def state_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes of keys and values of every token of the context."""
        return 2 * self.kv_heads * self.head_size * self.cached_tokens(context_tokens) * 4

    def state_traffic_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes that a decode step moves: it reads the cache and writes one token's key and value."""
        written = 2 * self.kv_heads * self.head_size * 4
        return self.state_bytes(hidden_size, context_tokens) + written

    def flops_per_token(self, hidden_size: int, context_tokens: int) -> int:
        """Operations of the projections and of scores and weighted values over the attended tokens."""
        attended = self.cached_tokens(context_tokens)
        return 2 * self.parameters(hidden_size) + 4 * self.heads * self.head_size * attended

    def cached_tokens(self, context_tokens: int) -> int:
        """Tokens whose keys and values are kept."""
        return context_tokens

    def cache_capacity(self, context_capacity: int) -> int:
        """Tokens that the lowered cache has room for."""
        return context_capacity

    @property
    def attention_window(self) -> int | None:
        """Tokens that a query may see, itself included; None for all."""
        return None


KeyValueCache = tuple[Tensor, Tensor, int]
"""Keys and values (batch, kv_heads, tokens, head_size) and the number of tokens seen so far."""


class AttentionModule(nn.Module):
    """Torch form of full and sliding-window attention; one fused projection for query, key, value and gate."""

    def __init__(self, config: GroupQueryAttention, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        self.in_proj = nn.Linear(hidden_size, sum(config.projected_sizes), bias=False)
        self.out_proj = nn.Linear(config.heads * config.head_size, hidden_size, bias=False)
        if config.qk_norm:
            self.q_norm = RMSNorm(config.head_size, config.qk_norm_epsilon)
            self.k_norm = RMSNorm(config.head_size, config.qk_norm_epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, tokens, d) to (batch, tokens, d), causally."""
        query, key, value, gate = self.project(x, first_position=0)
        attended = functional.scaled_dot_product_attention(
            query, *self._repeat(key, value), **self._mask(x.shape[1], x.device)
        )
        return self.read_out(attended, gate)

    def initial_state(self, batch: int) -> KeyValueCache:
        """Return an empty cache."""
        empty = self.out_proj.weight.new_zeros(batch, self.config.kv_heads, 0, self.config.head_size)
        return empty, empty, 0

    def step(self, x: Tensor, state: KeyValueCache) -> tuple[Tensor, KeyValueCache]:
        """Map one token (batch, 1, d) and the cache to the output and the grown (or rolled) cache."""
        keys, values, seen = state
        query, key, value, gate = self.project(x, first_position=seen)
        keys, values = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
        if self.config.attention_window is not None:
            keys, values = (cache[:, :, -self.config.attention_window :] for cache in (keys, values))
        attended = functional.scaled_dot_product_attention(query, *self._repeat(keys, values))
        return self.read_out(attended, gate), (keys, values, seen + 1)

    def project(self, x: Tensor, first_position: int) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return query, key and value heads (batch, heads, tokens, head_size), normed and rotated, and the gate."""
        *parts, gate = (*self.in_proj(x).split(self.config.projected_sizes, dim=-1), None)[:4]
        query, key, value = (
            part.unflatten(-1, (-1, self.config.head_size)).transpose(1, 2)  # (b, h, t, head_size)
            for part in parts
        )
        if self.config.qk_norm:
            query, key = self.q_norm(query), self.k_norm(key)
        positions = torch.arange(first_position, first_position + x.shape[1], device=x.device)
        cosines, sines = (table.to(x.dtype) for table in rotary_angles(positions, self.config.rotation))
        return rotate(query, cosines, sines), rotate(key, cosines, sines), value, gate

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

    def read_out(self, attended: Tensor, gate: Tensor | None) -> Tensor:
        """Gate (batch, heads, tokens, head_size), join the heads and project them to (batch, tokens, d)."""
        by_token = attended.transpose(1, 2)  # (b, t, h, head_size)
        if gate is not None:
            by_token = by_token * gate.sigmoid().unflatten(-1, (self.config.heads, -1))  # type: ignore[no-untyped-call]
        return self.out_proj(by_token.flatten(2))  # type: ignore[no-any-return]


def naive_attention(module: AttentionModule, x: Tensor) -> Tensor:
    """Compute `AttentionModule.forward` query by query with explicit softmax over the visible tokens."""
    config = module.config
    query, key, value, gate = module.project(x, first_position=0)
    rows = []
    for t in range(x.shape[1]):
        start = 0 if config.attention_window is None else max(0, t + 1 - config.attention_window)
        heads = []
        for head in range(config.heads):
            group = head // (config.heads // config.kv_heads)
            scores = (key[:, group, start : t + 1] * query[:, head, t, None]).sum(-1) / config.head_size**0.5
            weights = scores.softmax(dim=-1)[..., None]  # (b, visible, 1)
            heads.append((weights * value[:, group, start : t + 1]).sum(dim=1))
        rows.append(torch.stack(heads, dim=1))  # (b, h, head_size)
    return module.read_out(torch.stack(rows, dim=2), gate)


def lower_attention(
    graph: GraphBuilder, config: GroupQueryAttention, hidden_size: int, x: str, prefix: str
) -> str:
    """Append the fused projection, head norms, GroupQueryAttention with its cache, gate and output projection."""
    projected = graph.matmul(x, f"{prefix}.in_proj", hidden_size, sum(config.projected_sizes))
    operands, gate = [projected, "", ""], []
    if config.qk_norm or config.output_gate != "none":
        query, key, value, *gate = graph.split(projected, config.projected_sizes)
        operands = [query, key, value]
    if config.qk_norm:
        size, epsilon = config.head_size, config.qk_norm_epsilon
        operands[0] = graph.norm_heads(operands[0], f"{prefix}.q_norm.weight", config.heads, size, epsilon)
        operands[1] = graph.norm_heads(operands[1], f"{prefix}.k_norm.weight", config.kv_heads, size, epsilon)
    attended = _attend(graph, config, operands)
    if gate:
        attended = _gate(graph, config, attended, gate[0])
    return graph.matmul(attended, f"{prefix}.out_proj", config.heads * config.head_size, hidden_size)


def _attend(graph: GraphBuilder, config: GroupQueryAttention, operands: list[str]) -> str:
    window, room = config.attention_window, graph.context_capacity
    if window is not None and window > room:
        way_out = f"longer than the context of {room} tokens; use at most that, or {GroupQueryAttention.name}"
        raise LoweringError(f"{config.name}.window = {window}: {way_out}")
    rolling = window is not None and window < room
    capacity = config.cache_capacity(room)
    shape = (graph.batch, config.kv_heads, capacity, config.head_size)
    past_key, present_key = graph.state("key", shape, shared_buffer=True)
    past_value, present_value = graph.state("value", shape, shared_buffer=True)
    rotary_tables = _rotary_tables(graph, config.rotation)
    graph.uses_sequence_lengths = True
    out = graph.fresh("attended")
    windowed = {"local_window_size": window, "sliding_window_cache": 1} if rolling else {}
    graph.append(
        "GroupQueryAttention",
        [*operands, past_key, past_value, "seqlens_k", "total_sequence_length", *rotary_tables],
        [out, present_key, present_value], MICROSOFT,
        num_heads=config.heads, kv_num_heads=config.kv_heads, do_rotary=int(bool(rotary_tables)), **windowed,
    )  # fmt: skip
    return out


def _gate(graph: GraphBuilder, config: GroupQueryAttention, attended: str, gate: str) -> str:
    opened = graph.node("Sigmoid", gate)
    if config.output_gate == "element":
        return graph.node("Mul", attended, opened)
    by_head = graph.reshape(attended, (0, 0, config.heads, config.head_size))
    gated = graph.node("Mul", by_head, graph.reshape(opened, (0, 0, config.heads, 1)))
    return graph.reshape(gated, (0, 0, config.heads * config.head_size))


def _rotary_tables(graph: GraphBuilder, rotation: Rotation) -> tuple[str, ...]:
    """Compute the tables inside the graph: ONNX Runtime folds them at load, and the file stays small."""
    frequencies = rotation.frequencies
    if not frequencies:
        return ()
    key = f"rotary_{rotation.head_size}_{rotation.base:g}_{rotation.share:g}{'_spread' * rotation.spread}"
    cosines, sines = f"{key}_cos", f"{key}_sin"
    if not any(cosines in node.output for node in graph.nodes):
        positions = graph.float_constant(
            "positions", range(graph.context_capacity), (graph.context_capacity, 1)
        )
        rates = graph.float_constant(f"{key}_rates", frequencies, (1, len(frequencies)))
        angles = graph.node("Mul", positions, rates)
        graph.append("Cos", [angles], [cosines], "")
        graph.append("Sin", [angles], [sines], "")
    return cosines, sines


def _sized(hidden_size: int, options: Options) -> GroupQueryAttention:
    return GroupQueryAttention(heads_of(hidden_size, options), options["kv_heads"], options["head_size"])


def _options(mixer: GroupQueryAttention) -> dict[str, int]:
    return {"head_size": mixer.head_size, "kv_heads": mixer.kv_heads}


SIZING = Sizing(
    defaults={"head_size": (64,), "kv_heads": (2, 1)},
    smallest={"head_size": 16, "kv_heads": 1},
    fits=heads_group,
    build=_sized,
    read=_options,
)

GROUPED_QUERY_ATTENTION = Operator(
    GroupQueryAttention,
    AttentionModule,
    naive_attention,
    lower_attention,
    SIZING,
    small=GroupQueryAttention(heads=4, kv_heads=4, head_size=16, rotary_base=1e4),
)
