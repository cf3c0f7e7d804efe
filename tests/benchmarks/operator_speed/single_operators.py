"""What one mixer costs a decode step at the width of LFM2-350M, beside the least that its bytes allow."""

import statistics
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from operators.architecture import Architecture, Block, SwiGLU
from operators.cost import decode_bytes
from operators.export.landing import landing
from operators.export.onnx_folder import write_graph
from operators.lowering import lower
from operators.mixer import Mixer
from operators.mixers.gated_delta_net import GatedDeltaNet
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.linear_attention import LinearAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention
from operators.precision import Precision
from tests.benchmarks.operator_speed.engines import OnnxRuntime, Setting
from tests.benchmarks.operator_speed.models import POOL_SEED
from tests.benchmarks.operator_speed.side_by_side import REST_S

WIDTH, VOCABULARY = 1024, 1024
MEASURED: tuple[Mixer, ...] = (
    ShortConv(3),
    GroupQueryAttention(heads=16, kv_heads=8, head_size=64),
    SlidingWindowAttention(heads=16, kv_heads=8, head_size=64, window=256),
    GatedDeltaNet(key_heads=8, value_heads=8, key_head_size=128, value_head_size=128),
    LinearAttention(heads=8, key_head_size=128, value_head_size=128),
)
FEW, MANY = 16, 40
"""Copies of a block, too many for 32 MiB of cache: the difference is that of copies read from memory."""
FFN_WIDTH = 128
DEPTHS = (512, 4096)
STEPS, TURNS = 24, 7


@dataclass(frozen=True)
class Cost:
    """Milliseconds of one block's decode step at each depth, and those of moving its bytes at the read bandwidth."""

    name: str
    milliseconds: tuple[float, ...]
    floor_milliseconds: tuple[float, ...]

    def line(self) -> str:
        """Return one row of the table: time and its multiple of the floor."""
        pairs = zip(self.milliseconds, self.floor_milliseconds, strict=True)
        return f"{self.name:26}" + "".join(
            f"{f'{spent:10.3f} ms (x{spent / floor:.2f})':>30}" for spent, floor in pairs
        )


def measure_mixers(folder: Path, precision: Precision, threads: int) -> list[str]:
    """Time every mixer with the smallest FFN by the slope over unique copies; return the lines of a table."""
    bandwidth = read_bandwidth(threads)
    title = f"one block at width {WIDTH}, {precision.label}, {threads} thread{'s' * (threads > 1)}"
    depths = "".join(f"{f'decode at {depth}':>30}" for depth in DEPTHS)
    lines = [f"{title}, {bandwidth / 1e9:.1f} GB/s read", f"{'ms (x bytes / bandwidth)':26}" + depths]
    for mixer in MEASURED:
        spent = tuple(_slope(folder, mixer, precision, threads, depth) for depth in DEPTHS)
        floors = tuple(_bytes(mixer, precision, depth) / bandwidth * 1e3 for depth in DEPTHS)
        lines.append(Cost(mixer.name, spent, floors).line())
    return lines


def _slope(folder: Path, mixer: Mixer, precision: Precision, threads: int, depth: int) -> float:
    room = STEPS * (TURNS + 1)
    engines = []
    for copies in (FEW, MANY):
        home = folder / f"{mixer.name}-{copies}-{precision.label}"
        if not home.exists():
            architecture = copies_of(mixer, copies)
            lowered = lower(architecture, max(DEPTHS) + room, precision)
            with landing(home) as draft:
                write_graph(architecture, lowered, draft, precision, POOL_SEED)
        engines.append(OnnxRuntime(home, Setting(threads, 1, depth, room)))
    differences = []
    for turn in range(TURNS + 1):
        spent = []
        for engine in engines:
            time.sleep(REST_S)
            spent.append(statistics.median(engine.decode_at_depth(STEPS)))
        if turn:
            differences.append(spent[1] - spent[0])
    return 1e3 * statistics.median(differences) / (MANY - FEW)


def copies_of(mixer: Mixer, copies: int) -> Architecture:
    """Return an architecture of `copies` equal blocks."""
    return Architecture(VOCABULARY, WIDTH, (Block(mixer, SwiGLU(FFN_WIDTH)),) * copies)


def _bytes(mixer: Mixer, precision: Precision, depth: int) -> float:
    few, many = (decode_bytes(copies_of(mixer, copies), precision, depth) for copies in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def read_bandwidth(threads: int) -> float:
    """Return bytes per second that plain reading reaches here: the best of nine sums over 512 MiB."""
    import torch

    torch.set_num_threads(threads)
    values = torch.ones(2**27)
    best = min(_seconds(partial(torch.dot, values, values)) for _ in range(9))
    return values.numel() * 4 / best


def _seconds(call: partial) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
