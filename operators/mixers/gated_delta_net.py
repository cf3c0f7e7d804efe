"""Gated delta net (Yang et al. 2024, arXiv 2412.06464), the recurrent mixer of Qwen3.5."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.chunks import at_least_fp32, in_chunks
from operators.errors import ArchitectureError
from operators.field_checks import require_whole
from operators.graph import MICROSOFT, GraphBuilder
from operators.mixer import Operator
from operators.mixers.short_conv import causal_depthwise_conv
from operators.norms import RMSNorm
from operators.sizing import Options, Sizing, heads_fill, heads_of

L2_EPSILON = 1e-6
OUTPUT_NORM_EPSILON = 1e-6
DELTA_CHUNK_TOKENS = 32


@dataclass(frozen=True)
class GatedDeltaNet:
    """A (key x value) memory per head that decays, forgets what it held under a key, and writes the new value.

    S_t = exp(g_t) S_{t-1} + beta_t k_t (v_t - exp(g_t) S_{t-1}^T k_t)^T;  o_t = S_t^T q_t / sqrt(key_head_size).
    """

    key_heads: int
    value_heads: int
    key_head_size: int = 64
    value_head_size: int = 64
    conv_kernel_size: int = 4

    code: ClassVar[str] = "D"
    name: ClassVar[str] = "gated_delta_net"

    def check(self, hidden_size: int) -> None:
        """Refuse heads that can't be shared or a convolution of one token."""
        for field in ("key_heads", "value_heads", "key_head_size", "value_head_size"):
            require_whole(f"{self.name}.{field}", getattr(self, field))
        if self.value_heads % self.key_heads:
            way_out = f"must be a multiple of key_heads = {self.key_heads}"
            raise ArchitectureError(f"{self.name}.value_heads", self.value_heads, way_out)
        require_whole(f"{self.name}.conv_kernel_size", self.conv_kernel_size, least=2)

    @property
    def key_size(self) -> int:
        """Width of all keys together."""
        return self.key_heads * self.key_head_size

    @property
    def value_size(self) -> int:
        """Width of all values together."""
        return self.value_heads * self.value_head_size

    @property
    def projected_sizes(self) -> tuple[int, ...]:
        """Widths of the fused input projection: query-key-value, output gate, decay and update rate."""
        return (2 * self.key_size + self.value_size, self.value_size, self.value_heads, self.value_heads)

    def parameters(self, hidden_size: int) -> int:
        """Count the projections, the convolution, the decay's two vectors and the output norm."""
        projections = hidden_size * (sum(self.projected_sizes) + self.value_size)
        convolution = (2 * self.key_size + self.value_size) * self.conv_kernel_size
        return projections + convolution + 2 * self.value_heads + self.value_head_size

    def state_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes of the memory and of the convolution's last inputs; the same at every context length."""
        memory = self.value_heads * self.key_head_size * self.value_head_size
        convolution = (2 * self.key_size + self.value_size) * (self.conv_kernel_size - 1)
        return 4 * (memory + convolution)

    def state_traffic_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes that a decode step moves: it reads and writes the whole state."""
        return 2 * self.state_bytes(hidden_size, context_tokens)

    def flops_per_token(self, hidden_size: int, context_tokens: int) -> int:
        """Operations of one decode step: projections, and decay, read, write and query of the memory."""
        memory = self.value_heads * self.key_head_size * self.value_head_size
        return 2 * self.parameters(hidden_size) + 7 * memory


class GatedDeltaNetModule(nn.Module):
    """Torch form of `GatedDeltaNet`: chunks of tokens in parallel by the WY form."""

    def __init__(self, config: GatedDeltaNet, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        mixed = 2 * config.key_size + config.value_size
        self.in_proj = nn.Linear(hidden_size, sum(config.projected_sizes), bias=False)
        self.conv_weight = nn.Parameter(torch.empty(mixed, config.conv_kernel_size).uniform_(-0.5, 0.5))
        self.decay_bias = nn.Parameter(_inverse_softplus_of_log_uniform(config.value_heads))
        self.decay_log_scale = nn.Parameter(torch.empty(config.value_heads).uniform_(1, 16).log())
        self.out_norm = RMSNorm(config.value_head_size, OUTPUT_NORM_EPSILON)
        self.out_proj = nn.Linear(config.value_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, tokens, d) to (batch, tokens, d), causally."""
        mixed, gate, decay, rate = self.in_proj(x).split(self.config.projected_sizes, dim=-1)
        mixed = functional.silu(causal_depthwise_conv(mixed, self.conv_weight))
        query, key, value, log_decay, beta = self.recurrence_inputs(mixed, decay, rate)
        out = chunked_gated_delta(query, key, value, log_decay, beta)
        return self.read_out(out, gate)

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """Zeros for the convolution (batch, k-1, channels) and the memory (batch, heads, key, value)."""
        channels, kernel_size = self.conv_weight.shape
        memory = (self.config.value_heads, self.config.key_head_size, self.config.value_head_size)
        zeros = self.conv_weight.new_zeros
        return zeros(batch, kernel_size - 1, channels), zeros(batch, *memory)

    def step(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map one token (batch, 1, d) and the state to the output and the next state."""
        history, memory = state
        mixed, gate, decay, rate = self.in_proj(x).split(self.config.projected_sizes, dim=-1)
        window = torch.cat([history, mixed], dim=1)  # (b, k, c)
        mixed = functional.silu((window * self.conv_weight.t()).sum(dim=1, keepdim=True))
        query, key, value, log_decay, beta = self.recurrence_inputs(mixed, decay, rate)
        out, memory = delta_step(
            query[:, :, 0], key[:, :, 0], value[:, :, 0], log_decay[..., 0], beta[..., 0], memory
        )
        return self.read_out(out[:, :, None], gate), (window[:, 1:], memory)

    def recurrence_inputs(self, mixed: Tensor, decay: Tensor, rate: Tensor) -> tuple[Tensor, ...]:
        """Return query, key, value (batch, heads, tokens, size), log decay and beta (batch, heads, tokens)."""
        config = self.config
        query, key, value = mixed.split([config.key_size, config.key_size, config.value_size], dim=-1)  # type: ignore[no-untyped-call]
        query, key = (
            l2_normalise(part.unflatten(-1, (-1, config.key_head_size))).transpose(1, 2)
            for part in (query, key)
        )
        repeats = config.value_heads // config.key_heads
        if repeats > 1:
            query, key = (part.repeat_interleave(repeats, dim=1) for part in (query, key))
        value = value.unflatten(-1, (-1, config.value_head_size)).transpose(1, 2)
        log_decay = -self.decay_log_scale.exp() * functional.softplus(decay + self.decay_bias)
        query = query * config.key_head_size**-0.5
        return query, key, value, log_decay.transpose(1, 2), rate.sigmoid().transpose(1, 2)

    def read_out(self, out: Tensor, gate: Tensor) -> Tensor:
        """Norm each head of (batch, heads, tokens, value), gate it and project it to (batch, tokens, d)."""
        normed = self.out_norm(out.transpose(1, 2)).flatten(2)  # (b, t, heads * value)
        return self.out_proj(normed * functional.silu(gate))  # type: ignore[no-any-return]


def l2_normalise(x: Tensor) -> Tensor:
    """Scale the last axis to unit length."""
    return x * torch.rsqrt(x.square().sum(dim=-1, keepdim=True) + L2_EPSILON)


def delta_step(
    query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor, beta: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One token of the recurrence: vectors (batch, heads, size), memory (batch, heads, key, value)."""
    memory = memory * log_decay.exp()[..., None, None]
    held = (memory * key[..., None]).sum(dim=-2)  # (b, h, v)
    written = beta[..., None] * (value - held)
    memory = memory + key[..., None] * written[..., None, :]
    return (memory * query[..., None]).sum(dim=-2), memory


def chunked_gated_delta(query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor, beta: Tensor) -> Tensor:
    """Run the recurrence over (batch, heads, tokens, size): all chunks at once, then from chunk to chunk.

    Inside a chunk the written values U solve (I + strict_lower(beta K K^T * decay)) U = beta (V - decayed K S), the
    WY form; it is linear in the memory S that the chunk finds, so one triangular solve gives the part of V and that of
    K for every chunk. Solving is stable for near-parallel keys where inverting by doubling is wrong by 1e5.
    """
    tokens, dtype = query.shape[2], query.dtype
    query, key, value, log_decay, beta = (
        in_chunks(at_least_fp32(each), DELTA_CHUNK_TOKENS)
        for each in (query, key, value, log_decay[..., None], beta[..., None])
    )  # (b, h, n, t, size)
    total = log_decay.cumsum(
        dim=3
    )  # (b, h, n, t, 1): log decay from the chunk's start up to and with token t
    between = (total - total.transpose(-1, -2)).tril().exp().tril()  # (b, h, n, t, t)
    decayed, transposed = total.exp(), key.transpose(-1, -2)
    weights = (beta * (key @ transposed) * between).tril(-1)
    targets = torch.cat([beta * value, beta * decayed * key], dim=-1)
    solved = torch.linalg.solve_triangular(weights, targets, upper=False, unitriangular=True)
    of_values, of_keys = solved.split([value.shape[-1], key.shape[-1]], dim=-1)
    carried = (key * (total[:, :, :, -1:] - total).exp()).transpose(-1, -2)  # (b, h, n, key, t)
    held, written = _from_chunk_to_chunk(of_values, of_keys, carried, decayed[:, :, :, -1:])
    out = decayed * (query @ held) + ((query @ transposed) * between) @ written
    return out.flatten(2, 3)[:, :, :tokens].to(dtype)


def _from_chunk_to_chunk(
    of_values: Tensor, of_keys: Tensor, carried: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the memory that each chunk finds (b, h, n, key, value) and what it writes (b, h, n, t, value)."""
    memory = of_values.new_zeros(*of_keys.shape[:2], of_keys.shape[-1], of_values.shape[-1])
    held, written = [], []
    for chunk in zip(*(each.unbind(2) for each in (of_values, of_keys, carried, kept)), strict=True):
        values, keys, carry, share = chunk
        held.append(memory)
        written.append(values - keys @ memory)
        memory = torch.addcmul(carry @ written[-1], memory, share)
    return torch.stack(held, dim=2), torch.stack(written, dim=2)


def naive_gated_delta_net(module: GatedDeltaNetModule, x: Tensor) -> Tensor:
    """Compute `GatedDeltaNetModule.forward` token by token."""
    state = module.initial_state(x.shape[0])
    outputs = []
    for t in range(x.shape[1]):
        out, state = module.step(x[:, t : t + 1], state)
        outputs.append(out)
    return torch.cat(outputs, dim=1)


def lower_gated_delta_net(
    graph: GraphBuilder, config: GatedDeltaNet, hidden_size: int, x: str, prefix: str
) -> str:
    """Append the fused projection, convolution, LinearAttention (gated_delta), gated norm and projection."""
    projected = graph.matmul(x, f"{prefix}.in_proj", hidden_size, sum(config.projected_sizes))
    mixed, gate, decay, rate = graph.split(projected, config.projected_sizes)
    channels = 2 * config.key_size + config.value_size
    mixed = graph.silu(graph.causal_conv(mixed, f"{prefix}.conv_weight", channels, config.conv_kernel_size))
    query, key, value = graph.split(mixed, (config.key_size, config.key_size, config.value_size))
    query, key = (_unit_heads(graph, part, config.key_heads, config.key_head_size) for part in (query, key))
    log_decay, beta = _gates(graph, config, decay, rate, prefix)
    shape = (graph.batch, config.value_heads, config.key_head_size, config.value_head_size)
    past, present = graph.state("memory", shape, shared_buffer=False)
    if config.value_heads > config.key_heads:
        query, key = (_repeat_heads(graph, part, config) for part in (query, key))
    out = graph.fresh("recurrence")
    graph.append(
        "LinearAttention", [query, key, value, past, log_decay, beta], [out, present], MICROSOFT,
        q_num_heads=config.value_heads, kv_num_heads=config.value_heads, update_rule="gated_delta",
        scale=config.key_head_size**-0.5,
    )  # fmt: skip
    gated = graph.gated_norm(
        out,
        gate,
        f"{prefix}.out_norm.weight",
        config.value_heads,
        config.value_head_size,
        OUTPUT_NORM_EPSILON,
    )
    return graph.matmul(gated, f"{prefix}.out_proj", config.value_size, hidden_size)


def _gates(graph: GraphBuilder, config: GatedDeltaNet, decay: str, rate: str, prefix: str) -> tuple[str, str]:
    heads = config.value_heads
    bias = graph.small(f"{prefix}.decay_bias", (heads,))
    log_scale = graph.small(f"{prefix}.decay_log_scale", (heads,))
    scale = graph.node("Neg", graph.node("Exp", log_scale))
    log_decay, beta = graph.nodes_out("LinearAttentionGate", [decay, bias, scale, rate], 2, MICROSOFT)
    return log_decay, beta


def _unit_heads(graph: GraphBuilder, x: str, heads: int, head_size: int) -> str:
    """L2-normalise every head: an RMS norm with gain 1 / sqrt(head_size) is the same map and has a fast kernel."""
    gain = graph.float_constant(f"unit_gain_{head_size}", [head_size**-0.5] * head_size)
    by_head = graph.reshape(x, (0, 0, heads, head_size))
    normed = graph.node(
        "SimplifiedLayerNormalization", by_head, gain, axis=-1, epsilon=L2_EPSILON / head_size, stash_type=1
    )
    return graph.reshape(normed, (0, 0, heads * head_size))


def _repeat_heads(graph: GraphBuilder, x: str, config: GatedDeltaNet) -> str:
    repeats = config.value_heads // config.key_heads
    by_head = graph.reshape(x, (0, 0, config.key_heads, 1, config.key_head_size))
    repeated = graph.node("Concat", *[by_head] * repeats, axis=3)
    return graph.reshape(repeated, (0, 0, config.value_heads * config.key_head_size))


def _inverse_softplus_of_log_uniform(count: int) -> Tensor:
    """Start the decay's softplus between 0.001 and 0.1, as Mamba 2 and Qwen3.5 do."""
    steps = torch.exp(torch.empty(count).uniform_(-6.9, -2.3))
    return steps + torch.log(-torch.expm1(-steps))


def _sized(hidden_size: int, options: Options) -> GatedDeltaNet:
    heads, size = heads_of(hidden_size, options), options["head_size"]
    return GatedDeltaNet(heads, heads, size, size, options["conv_kernel_size"])


def _options(mixer: GatedDeltaNet) -> dict[str, int]:
    return {"head_size": mixer.value_head_size, "conv_kernel_size": mixer.conv_kernel_size}


SIZING = Sizing(
    defaults={"head_size": (64,), "conv_kernel_size": (4,)},
    smallest={"head_size": 16, "conv_kernel_size": 2},
    fits=heads_fill,
    build=_sized,
    read=_options,
)

GATED_DELTA_NET = Operator(
    GatedDeltaNet,
    GatedDeltaNetModule,
    naive_gated_delta_net,
    lower_gated_delta_net,
    SIZING,
    small=GatedDeltaNet(key_heads=1, value_heads=1),
)
