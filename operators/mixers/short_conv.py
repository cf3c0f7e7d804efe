"""Gated short convolution, the local mixer of LFM2: out(c * conv(b * x)) with b, c, x projected from the input."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.field_checks import require_whole
from operators.graph import GraphBuilder
from operators.mixer import Operator
from operators.sizing import Options, Sizing, always_fits


@dataclass(frozen=True)
class ShortConv:
    """Depthwise causal convolution over `kernel_size` tokens between two multiplicative gates."""

    kernel_size: int = 3

    code: ClassVar[str] = "C"
    name: ClassVar[str] = "short_conv"

    def check(self, hidden_size: int) -> None:
        """Refuse a kernel that is not a convolution in time."""
        require_whole(f"{self.name}.kernel_size", self.kernel_size, least=2)

    def parameters(self, hidden_size: int) -> int:
        """Count 4 d^2 + d k: the input projection to 3 d, the output projection and the kernel."""
        return 4 * hidden_size**2 + hidden_size * self.kernel_size

    def state_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes of the last k - 1 gated inputs; the same at every context length."""
        return (self.kernel_size - 1) * hidden_size * 4

    def state_traffic_bytes(self, hidden_size: int, context_tokens: int) -> int:
        """Bytes that a decode step moves: it reads and writes the whole state."""
        return 2 * self.state_bytes(hidden_size, context_tokens)

    def flops_per_token(self, hidden_size: int, context_tokens: int) -> int:
        """Operations of one decode step; the same at every context length."""
        return 2 * self.parameters(hidden_size) + 2 * hidden_size


class ShortConvModule(nn.Module):
    """Torch form of `ShortConv`; the convolution is k shifted multiply-adds, faster on CPUs than conv1d."""

    def __init__(self, config: ShortConv, hidden_size: int) -> None:
        super().__init__()
        self.kernel_size = config.kernel_size
        self.in_proj = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.conv_weight = nn.Parameter(torch.empty(hidden_size, config.kernel_size).uniform_(-1, 1) / 3**0.5)
        self.out_proj = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, tokens, d) to (batch, tokens, d), causally."""
        gate_in, gate_out, value = self.in_proj(x).chunk(3, dim=-1)  # each (b, t, d)
        mixed = causal_depthwise_conv(gate_in * value, self.conv_weight)  # (b, t, d)
        return self.out_proj(gate_out * mixed)  # type: ignore[no-any-return]

    def initial_state(self, batch: int) -> Tensor:
        """Zeros for the k - 1 gated inputs before the first token: (batch, k-1, d)."""
        return self.conv_weight.new_zeros(batch, self.kernel_size - 1, self.conv_weight.shape[0])

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map one token (batch, 1, d) and the state to the output and the next state."""
        gate_in, gate_out, value = self.in_proj(x).chunk(3, dim=-1)
        window = torch.cat([state, gate_in * value], dim=1)  # (b, k, d)
        mixed = (window * self.conv_weight.t()).sum(dim=1, keepdim=True)  # (b, 1, d)
        return self.out_proj(gate_out * mixed), window[:, 1:]


def causal_depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve (batch, tokens, channels) with (channels, k), each channel alone, zeros before the first token."""
    kernel_size = weight.shape[1]
    padded = functional.pad(x, (0, 0, kernel_size - 1, 0))  # (b, t + k - 1, c)
    tokens = x.shape[1]
    taps = [padded[:, j : j + tokens] * weight[:, j] for j in range(kernel_size)]
    return torch.stack(taps).sum(dim=0) if len(taps) > 4 else sum(taps[1:], taps[0])


def naive_short_conv(module: ShortConvModule, x: Tensor) -> Tensor:
    """Compute `ShortConvModule.forward` token by token with explicit sums over the kernel."""
    gate_in, gate_out, value = module.in_proj(x).chunk(3, dim=-1)
    gated = gate_in * value
    outputs = []
    for t in range(x.shape[1]):
        acc = torch.zeros_like(gated[:, 0])
        for j in range(module.kernel_size):
            source = t - (module.kernel_size - 1) + j
            if source >= 0:
                acc = acc + gated[:, source] * module.conv_weight[:, j]
        outputs.append(gate_out[:, t] * acc)
    return module.out_proj(torch.stack(outputs, dim=1))  # type: ignore[no-any-return]


def lower_short_conv(graph: GraphBuilder, config: ShortConv, hidden_size: int, x: str, prefix: str) -> str:
    """Append projection, gate, causal convolution, gate, projection."""
    d, k = hidden_size, config.kernel_size
    projected = graph.matmul(x, f"{prefix}.in_proj", d, 3 * d)
    gate_in, gate_out, value = graph.split(projected, (d, d, d))
    gated = graph.node("Mul", gate_in, value)
    mixed = graph.causal_conv(gated, f"{prefix}.conv_weight", d, k)
    return graph.matmul(graph.node("Mul", gate_out, mixed), f"{prefix}.out_proj", d, d)


def _sized(hidden_size: int, options: Options) -> ShortConv:
    return ShortConv(kernel_size=options["kernel_size"])


def _options(mixer: ShortConv) -> dict[str, int]:
    return {"kernel_size": mixer.kernel_size}


SIZING = Sizing(
    defaults={"kernel_size": (3,)},
    smallest={"kernel_size": 2},
    fits=always_fits,
    build=_sized,
    read=_options,
)

SHORT_CONV = Operator(
    ShortConv, ShortConvModule, naive_short_conv, lower_short_conv, SIZING, small=ShortConv(kernel_size=3)
)
