"""Forward and backward of each torch mixer beside torch's own scaled_dot_product_attention of the same size."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.mixer import Mixer
from operators.mixers.gated_delta_net import GatedDeltaNet
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.linear_attention import LinearAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention
from operators.registry import MIXERS

WIDTHS = (64, 512)
BATCH, TOKENS = 4, 512
HEAD_SIZE = 64
TURNS = 9


class PlainAttention(nn.Module):
    """The peer: one projection to query, key and value, torch's fused causal attention, one projection back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(width, 3 * width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        heads = (part.unflatten(-1, (-1, HEAD_SIZE)).transpose(1, 2) for part in self.in_proj(x).chunk(3, -1))
        attended = functional.scaled_dot_product_attention(*heads, is_causal=True)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class TrainingSpeed:
    """Tokens per second of forward and backward, and the median of its ratios to the peer in the same turn."""

    width: int
    name: str
    tokens_per_second: float
    ratio: float

    def line(self) -> str:
        """Return one row of the table."""
        return f"d={self.width:<5} {self.name:26} {self.tokens_per_second:10.0f} tokens/s   x{self.ratio:.2f}"


def mixers_of(width: int) -> Mapping[str, Mixer]:
    """Return one mixer of each kind at a width, with heads of 64."""
    heads = width // HEAD_SIZE
    return {
        "short_conv": ShortConv(3),
        "grouped_query_attention": GroupQueryAttention(heads, heads, HEAD_SIZE),
        "sliding_window_attention": SlidingWindowAttention(heads, heads, HEAD_SIZE, window=128),
        "gated_delta_net": GatedDeltaNet(heads, heads, HEAD_SIZE, HEAD_SIZE),
        "linear_attention": LinearAttention(heads, HEAD_SIZE, HEAD_SIZE),
    }


def measure_training(threads: int) -> list[str]:
    """Time every mixer and the peer in turns; return the lines of a table."""
    torch.set_num_threads(threads)
    title = f"forward and backward, batch {BATCH} x {TOKENS} tokens, {threads} thread{'s' * (threads > 1)}"
    return [title, *(found.line() for width in WIDTHS for found in _at_width(width))]


def _at_width(width: int) -> list[TrainingSpeed]:
    torch.manual_seed(1)
    modules: dict[str, nn.Module] = {"torch SDPA": PlainAttention(width)}
    modules |= {name: MIXERS[mixer.name].module(mixer, width) for name, mixer in mixers_of(width).items()}
    seconds: dict[str, list[float]] = {name: [] for name in modules}
    for turn in range(TURNS + 1):
        for name, module in modules.items():
            spent = _step(module, width)
            if turn:
                seconds[name].append(spent)
    peer = seconds["torch SDPA"]
    return [
        TrainingSpeed(
            width,
            name,
            BATCH * TOKENS / statistics.median(spent),
            statistics.median(theirs / ours for theirs, ours in zip(peer, spent, strict=True)),
        )
        for name, spent in seconds.items()
    ]


def _step(module: nn.Module, width: int) -> float:
    x = torch.randn(BATCH, TOKENS, width, requires_grad=True)
    module.zero_grad()
    started = time.perf_counter()
    module(x).sum().backward()
    return time.perf_counter() - started
