"""Gated linear attention (Yang et al. 2023, arXiv 2312.06635) and, without its decay, plain linear attention."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.chunks import at_least_fp32, in_chunks
from operators.field_checks import require_truth, require_whole
from operators.graph import MICROSOFT, GraphBuilder
from operators.mixer import Operator
from operators.norms import RMSNorm
from operators.sizing import Options, Sizing, heads_fill, heads_of

DECAY_RANK = 16
DECAY_DIVISOR = 16.0
SLOW_DECAY_BIAS = -4.0
"""Start by forgetting 0.1 % a token: from bias 0 (4 %) conv hybrids learn recall half as well in 300 steps."""
OUTPUT_NORM_EPSILON = 1e-6
LINEAR_CHUNK_TOKENS = 16


@dataclass(frozen=True)
class LinearAttention:
    """A (key x value) memory per head to which every token adds; `gated` lets each key dimension decay by itself.

    S_t = diag(exp(g_t)) S_{t-1} + k_t v_t^T;  o_t = S_t^T q_t / sqrt(key_head_size).
    """

    heads: int
    key_head_size: int = 32
    value_head_size: int = 64
    gated: bool = True

    code: ClassVar[str] = "L"
    name: ClassVar[str] = "linear_attention"

    def check(self, hidden_size: int) -> None:
        """Refuse empty heads."""
        for field in ("heads", "key_head_size", "value_head_size"):
            require_whole(f"{self.name}.{field}", getattr(self, field))
        require_truth(f"{self.name}.gated", self.gated)

    @property
    def key_size(self) -> int:
        """Width of all keys together."""
        return self.heads * self.key_head_size

    @property
    def value_size(self) -> int:
        """Width of all values together."""
        return self.heads * self.value_head_size

    @property
    def projected_sizes(self) -> tuple[int, ...]:
        """Widths of the fused input projection: query, key, value, output gate and (if gated) the decay's rank."""
        sizes = (self.key_size, self.key_size, self.value_size, self.value_size)
        return (*sizes, DECAY_RANK) if self.gated else sizes

    def parameters(self, hidden_size: int) -> int:
        """Count the projections, the low-rank decay with its bias, and the output norm."""
        projections = hidden_size * (sum(self.projected_sizes) + self.value_size)
        decay = (DECAY_RANK + 1) * self.key_size if self.gated else 0
        return projections + decay + self.value_head_size

    def state_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes of the memory; the same at every context length."""
        return 4 * self.heads * self.key_head_size * self.value_head_size

    def state_traffic_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes that a decode step moves: it reads and writes the whole state."""
        return 2 * self.state_bytes(hidden_size, context_tokens)

    def flops_per_token(self, hidden_size: int, context_tokens: int) -> int:
        """Operations of one decode step: projections, and decay, write and query of the memory."""
        memory = self.heads * self.key_head_size * self.value_head_size
        return 2 * self.parameters(hidden_size) + 5 * memory


class LinearAttentionModule(nn.Module):
    """Torch form of `LinearAttention`: chunks of tokens in parallel, exponents centred inside a chunk."""

    def __init__(self, config: LinearAttention, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        self.in_proj = nn.Linear(hidden_size, sum(config.projected_sizes), bias=False)
        if config.gated:
            self.decay_up = nn.Parameter(torch.empty(DECAY_RANK, config.key_size).uniform_(-0.25, 0.25))
            self.decay_bias = nn.Parameter(torch.full((config.key_size,), SLOW_DECAY_BIAS))
        self.out_norm = RMSNorm(config.value_head_size, OUTPUT_NORM_EPSILON)
        self.out_proj = nn.Linear(config.value_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, tokens, d) to (batch, tokens, d), causally."""
        query, key, value, gate, log_decay = self.recurrence_inputs(x)
        return self.read_out(chunked_linear_attention(query, key, value, log_decay), gate)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros for the memory: (batch, heads, key, value)."""
        config = self.config
        return self.out_proj.weight.new_zeros(
            batch, config.heads, config.key_head_size, config.value_head_size
        )

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map one token (batch, 1, d) and the memory to the output and the next memory."""
        query, key, value, gate, log_decay = self.recurrence_inputs(x)
        memory = state * log_decay[:, :, 0, :, None].exp() + key[:, :, 0, :, None] * value[:, :, 0, None, :]
        out = (memory * query[:, :, 0, :, None]).sum(dim=-2)  # (b, h, v)
        return self.read_out(out[:, :, None], gate), memory

    def recurrence_inputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return query, key, value (batch, heads, tokens, size), output gate, and log decay shaped like the key."""
        config = self.config
        query, key, value, gate, *rank = self.in_proj(x).split(config.projected_sizes, dim=-1)
        query, key = (part.unflatten(-1, (-1, config.key_head_size)).transpose(1, 2) for part in (query, key))
        value = value.unflatten(-1, (-1, config.value_head_size)).transpose(1, 2)
        log_decay = torch.zeros_like(key)
        if config.gated:
            raw = functional.softplus(rank[0] @ self.decay_up + self.decay_bias) / -DECAY_DIVISOR
            log_decay = raw.unflatten(-1, [-1, config.key_head_size]).transpose(1, 2)  # type: ignore[no-untyped-call]
        return query * config.key_head_size**-0.5, key, value, gate, log_decay

    def read_out(self, out: Tensor, gate: Tensor) -> Tensor:
        """Norm each head of (batch, heads, tokens, value), gate it and project it to (batch, tokens, d)."""
        normed = self.out_norm(out.transpose(1, 2)).flatten(2)  # (b, t, heads * value)
        return self.out_proj(normed * functional.silu(gate))  # type: ignore[no-any-return]


def chunked_linear_attention(query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor) -> Tensor:
    """Run the recurrence over (batch, heads, tokens, size): all chunks of tokens at once, then from chunk to chunk.

    Inside a chunk the decay between two tokens factors into exp(total_t - centre) * exp(centre - total_s); centring
    halves the exponents' range, so that they stay finite in fp32.
    """
    tokens, dtype = query.shape[2], query.dtype
    query, key, value, log_decay = (
        in_chunks(at_least_fp32(each), LINEAR_CHUNK_TOKENS) for each in (query, key, value, log_decay)
    )  # (b, h, n, t, size)
    total = log_decay.cumsum(dim=3)  # log decay from the chunk's start up to and with token t
    last = total[:, :, :, -1:]
    centre = last / 2
    scores = (query * (total - centre).exp()) @ (key * (centre - total).exp()).transpose(-1, -2)
    added = (key * (last - total).exp()).transpose(-1, -2) @ value  # (b, h, n, key, value)
    held = memories_before(added, last.exp().transpose(-1, -2))
    out = scores.tril() @ value + (query * total.exp()) @ held
    return out.flatten(2, 3)[:, :, :tokens].to(dtype)


def memories_before(added: Tensor, kept: Tensor) -> Tensor:
    """Return what each chunk finds in memory, (batch, heads, chunks, key, value): kept * memory + added, from zero."""
    memory = torch.zeros_like(added[:, :, 0])
    found = []
    for more, share in zip(added.unbind(2), kept.unbind(2), strict=True):
        found.append(memory)
        memory = torch.addcmul(more, memory, share)
    return torch.stack(found, dim=2)


def naive_linear_attention(module: LinearAttentionModule, x: Tensor) -> Tensor:
    """Compute `LinearAttentionModule.forward` token by token."""
    state = module.initial_state(x.shape[0])
    outputs = []
    for t in range(x.shape[1]):
        out, state = module.step(x[:, t : t + 1], state)
        outputs.append(out)
    return torch.cat(outputs, dim=1)


def lower_linear_attention(
    graph: GraphBuilder, config: LinearAttention, hidden_size: int, x: str, prefix: str
) -> str:
    """Append the fused projection, the decay, LinearAttention (gated or linear), gated norm and projection."""
    projected = graph.matmul(x, f"{prefix}.in_proj", hidden_size, sum(config.projected_sizes))
    query, key, value, gate, *rank = graph.split(projected, config.projected_sizes)
    shape = (graph.batch, config.heads, config.key_head_size, config.value_head_size)
    past, present = graph.state("memory", shape, shared_buffer=False)
    decay = [_log_decay(graph, config, rank[0], prefix)] if config.gated else []
    out = graph.fresh("recurrence")
    graph.append(
        "LinearAttention", [query, key, value, past, *decay], [out, present], MICROSOFT,
        q_num_heads=config.heads, kv_num_heads=config.heads, scale=config.key_head_size**-0.5,
        update_rule="gated" if config.gated else "linear",
    )  # fmt: skip
    gated = graph.gated_norm(
        out, gate, f"{prefix}.out_norm.weight", config.heads, config.value_head_size, OUTPUT_NORM_EPSILON
    )
    return graph.matmul(gated, f"{prefix}.out_proj", config.value_size, hidden_size)


def _log_decay(graph: GraphBuilder, config: LinearAttention, rank: str, prefix: str) -> str:
    """Write -softplus(x) as log(sigmoid(-x)): of both, ONNX Runtime has vectorised kernels, five times as fast."""
    up = graph.small(f"{prefix}.decay_up", (DECAY_RANK, config.key_size))
    bias = graph.node("Neg", graph.small(f"{prefix}.decay_bias", (config.key_size,)))
    lowered = graph.node("FusedMatMul", rank, up, domain=MICROSOFT, alpha=-1.0)
    kept = graph.node("Sigmoid", graph.node("Add", lowered, bias))
    share = graph.float_constant("decay_share", [1 / DECAY_DIVISOR])
    return graph.node("Mul", graph.node("Log", kept), share)


def _sized(hidden_size: int, options: Options) -> LinearAttention:
    # Keys half as wide as values, as in the paper: the memory is then half of the delta net's.
    heads, size = heads_of(hidden_size, options), options["head_size"]
    return LinearAttention(heads, key_head_size=size // 2, value_head_size=size)


def _options(mixer: LinearAttention) -> dict[str, int]:
    return {"head_size": mixer.value_head_size}


SIZING = Sizing(
    defaults={"head_size": (64,)},
    smallest={"head_size": 16},
    fits=heads_fill,
    build=_sized,
    read=_options,
)

LINEAR_ATTENTION = Operator(
    LinearAttention,
    LinearAttentionModule,
    naive_linear_attention,
    lower_linear_attention,
    SIZING,
    small=LinearAttention(heads=1, key_head_size=64),
)
