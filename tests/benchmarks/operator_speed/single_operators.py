"""What one mixer costs at the width of LFM2-350M, beside the least that a decode step's bytes allow.

A mixer is timed by the slope over unique copies of a block: 40 copies less 16, less the same for a block that has no
mixer. So what remains is the mixer alone, its weights and states read from memory.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from operators.architecture import Architecture, Block, SwiGLU
from operators.cost import decode_bytes
from operators.export.landing import landing
from operators.export.onnx_folder import write_graph
from operators.lowering import lower
from operators.mixer import Mixer, Operator
from operators.mixer_stacks import mixers_of_width
from operators.mixers.short_conv import SHORT_CONV
from operators.precision import Precision
from operators.registry import MIXERS
from tests.benchmarks.operator_speed.engines import OnnxRuntime, Setting
from tests.benchmarks.operator_speed.models import POOL_SEED
from tests.benchmarks.operator_speed.side_by_side import (
    DECODE_STEPS,
    DEPTH,
    PROMPT_TOKENS,
    QUANTITIES,
    REST_S,
    ROOM,
    rotated,
)

WIDTH, VOCABULARY, FFN_WIDTH = 1024, 1024, 128
MEASURED = mixers_of_width(WIDTH)
FEW, MANY = 16, 40
"""Copies of a block, too many for 32 MiB of cache: the difference is that of copies read from memory."""
TURNS = 7


@dataclass(frozen=True)
class NoMixer:
    """A block's mixer that does nothing: what such a block costs is the norms and the FFN."""

    code: ClassVar[str] = "N"
    name: ClassVar[str] = "no_mixer"

    def check(self, hidden_size: int) -> None:
        """Fit any width."""

    def nothing(self, hidden_size: int, context_tokens: int = 0) -> int:
        """Weigh nothing, hold nothing, compute nothing."""
        return 0

    parameters = state_bytes = state_traffic_bytes = flops_per_token = nothing


def _pass_through(graph: object, config: NoMixer, hidden_size: int, x: str, prefix: str) -> str:
    return x


REGISTRY: Mapping[str, Operator] = MIXERS | {
    "no_mixer": Operator(NoMixer, object, object, _pass_through, SHORT_CONV.sizing, small=NoMixer())
}


@dataclass(frozen=True)
class Cost:
    """What one mixer takes: milliseconds of a prefill and of a decode step at two depths, and the steps' floors."""

    mixer: Mixer
    milliseconds: tuple[float, ...]
    floor_milliseconds: tuple[float, ...]
    """Bytes of a decode step, at each depth, over the bandwidth of plain reading in the same turns."""

    @property
    def floor_multiples(self) -> tuple[float, ...]:
        """Each decode step's time over its floor."""
        return tuple(
            spent / floor for spent, floor in zip(self.milliseconds[1:], self.floor_milliseconds, strict=True)
        )

    def line(self) -> str:
        """Return one row of the table."""
        prefill, *steps = self.milliseconds
        cells = [
            f"{spent:9.3f} (x{over:.2f})" for spent, over in zip(steps, self.floor_multiples, strict=True)
        ]
        return f"{self.mixer.name:26}{prefill:20.2f}" + "".join(f"{cell:>22}" for cell in cells)


@dataclass(frozen=True)
class Costs:
    """Every mixer at one precision and number of threads."""

    precision: Precision
    threads: int
    bytes_per_second: float
    rows: tuple[Cost, ...]

    def lines(self) -> list[str]:
        """Return a table: a decode step in ms, and as a multiple of its bytes over the bandwidth."""
        setting = f"{self.precision.label}, {self.threads} thread{'s' * (self.threads > 1)}"
        prefill, *steps = QUANTITIES
        return [
            f"one mixer at width {WIDTH}, {setting}, {self.bytes_per_second / 1e9:.1f} GB/s read by one sum",
            f"{'ms (x bytes / bandwidth)':26}{prefill:>20}" + "".join(f"{step:>22}" for step in steps),
            *(row.line() for row in self.rows),
        ]


def measure_mixers(folder: Path, precision: Precision, threads: int) -> Costs:
    """Time every mixer; graphs already in `folder` are used again."""
    rows, bandwidths = [], []
    for mixer in MEASURED:
        spent, bandwidth = _slope(folder, mixer, precision, threads)
        floors = tuple(
            moved_bytes(mixer, precision, depth) / bandwidth * 1e3 for depth in (PROMPT_TOKENS, DEPTH)
        )
        rows.append(Cost(mixer, spent, floors))
        bandwidths.append(bandwidth)
    return Costs(precision, threads, statistics.median(bandwidths), tuple(rows))


def _slope(folder: Path, mixer: Mixer, precision: Precision, threads: int) -> tuple[tuple[float, ...], float]:
    """Return milliseconds of each quantity, and the bandwidth of the same turns: it doubles within minutes here."""
    prompt = np.random.default_rng(3).integers(0, VOCABULARY, PROMPT_TOKENS)
    engines = [
        OnnxRuntime(_graph(folder, each, copies, precision), Setting(threads, PROMPT_TOKENS, DEPTH, ROOM))
        for each in (mixer, NoMixer())
        for copies in (FEW, MANY)
    ]
    slopes, bandwidths = [], []
    for turn in range(TURNS + 1):
        times = {i: _times(engines[i], prompt) for i in rotated(range(len(engines)), turn)}
        if turn:
            few, many, few_without, many_without = (times[i] for i in range(len(engines)))
            slopes.append(((many - few) - (many_without - few_without)) / (MANY - FEW))
            bandwidths.append(read_bandwidth(threads))
    return tuple(1e3 * np.median(slopes, axis=0)), statistics.median(bandwidths)


def _times(engine: OnnxRuntime, prompt: np.ndarray) -> np.ndarray:
    time.sleep(REST_S)  # idle threads of the engine before stop spinning
    prefill = engine.prefill(prompt)[0]
    steps = engine.decode(DECODE_STEPS), engine.decode_at_depth(DECODE_STEPS)
    return np.array([prefill, *(statistics.median(each) for each in steps)])


def _graph(folder: Path, mixer: Mixer, copies: int, precision: Precision) -> Path:
    architecture = copies_of(mixer, copies)
    lowered = lower(architecture, DEPTH + ROOM, precision, registry=REGISTRY)
    home = folder / f"{mixer.name}-{copies}-{precision.label}-{lowered.digest[:8]}"
    if not home.exists():
        with landing(home) as draft:
            write_graph(architecture, lowered, draft, precision, POOL_SEED)
    return home


def copies_of(mixer: Mixer, copies: int) -> Architecture:
    """Return an architecture of `copies` equal blocks."""
    return Architecture(VOCABULARY, WIDTH, (Block(mixer, SwiGLU(FFN_WIDTH)),) * copies)


def moved_bytes(mixer: Mixer, precision: Precision, depth: int) -> int:
    """Return the bytes that one decode step of a mixer alone moves at a depth."""
    with_mixer, without = (decode_bytes(copies_of(each, 1), precision, depth) for each in (mixer, NoMixer()))
    return with_mixer - without


def read_bandwidth(threads: int) -> float:
    """Return bytes per second that plain reading reaches here: the best of three sums over 512 MiB."""
    import torch

    torch.set_num_threads(threads)
    values = torch.ones(2**27)
    best = min(_seconds(partial(torch.dot, values, values)) for _ in range(3))
    return values.numel() * 4 / best


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
