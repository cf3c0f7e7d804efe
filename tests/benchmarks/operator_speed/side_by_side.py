"""Whole models on several engines in one run: every engine in its own process, taking turns."""

import multiprocessing
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import numpy as np

from operators.references import reference
from tests.benchmarks.operator_speed.engines import Setting, serve
from tests.benchmarks.operator_speed.models import GENAI, LLAMA_CPP, Contender, contenders

PROMPT_TOKENS, DEPTH, ROOM = 512, 4096, 600
DECODE_STEPS = 24
REST_S = 0.3
T = TypeVar("T")
QUANTITIES = (f"prefill {PROMPT_TOKENS}", f"decode at {PROMPT_TOKENS}", f"decode at {DEPTH}")


@dataclass
class Measured:
    """Milliseconds of each turn, by engine and quantity, and each engine's logits of the prompt."""

    shape: str
    threads: int
    refused: list[str]
    turns: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    logits: dict[str, np.ndarray] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return a table: medians, and medians of the turns' ratios to each peer (above 1 is faster)."""
        head = f"{self.shape}, {self.threads} thread{'s' * (self.threads > 1)}, {len(self.turns[LLAMA_CPP])} turns"
        titles = "".join(f"{quantity:>30}" for quantity in QUANTITIES)
        rows = [f"{name:20}" + self._cells(name) + self._agreement(name) for name in self.turns]
        return [head, f"{'ms (x llama.cpp, x genai)':20}" + titles, *rows, *self.refused]

    def _cells(self, name: str) -> str:
        cells = []
        for i in range(len(QUANTITIES)):
            median = statistics.median(turn[i] for turn in self.turns[name])
            ratios = [f"{self.ratio(name, peer, i):.2f}" for peer in (LLAMA_CPP, GENAI) if peer in self.turns]
            cells.append(f"{median:10.1f} ({', '.join(ratios)})")
        return "".join(f"{cell:>30}" for cell in cells)

    def ratio(self, name: str, peer: str, quantity: int) -> float:
        """Return how many times as fast as a peer an engine is: the median over turns."""
        pairs = zip(self.turns[peer], self.turns[name], strict=True)
        return statistics.median(theirs[quantity] / ours[quantity] for theirs, ours in pairs)

    def _agreement(self, name: str) -> str:
        """Say how near our logits are to llama.cpp's, with the same weights; the builder quantises its own way."""
        if name != "Loopfront int4-b32":
            return ""
        one, other = self.logits[name], self.logits[LLAMA_CPP]
        return f"   cosine to llama.cpp {one @ other / np.linalg.norm(one) / np.linalg.norm(other):.3f}"


def measure(shape: str, threads: int, turns: int, folder: Path) -> Measured:
    """Load every engine, then let each prefill and decode in turn; the first turn warms up and isn't counted."""
    setting = Setting(threads, PROMPT_TOKENS, DEPTH, ROOM)
    found, refused = contenders(shape, folder, setting)
    prompt = np.random.default_rng(3).integers(0, reference(shape).vocab_size, PROMPT_TOKENS)
    measured = Measured(shape, threads, refused)
    with ExitStack() as stack:
        engines = _started(stack, found, measured)
        for turn in range(turns + 1):
            for name in rotated(engines, turn):
                time.sleep(REST_S)  # idle threads of the engine before stop spinning
                times, measured.logits[name] = _one_turn(engines[name], prompt)
                if turn:
                    measured.turns[name].append(times)
    return measured


def rotated(names: Iterable[T], turn: int) -> list[T]:
    """Return them in their order, begun at another one in each turn."""
    found = list(names)
    start = turn % len(found)
    return found[start:] + found[:start]


def _started(stack: ExitStack, found: list[Contender], measured: Measured) -> dict[str, Connection]:
    engines = {}
    for each in found:
        engine = stack.enter_context(_running(each))
        if trouble := engine.recv():
            measured.refused.append(f"{each.name} loads {measured.shape} but can't run it: {trouble}")
        else:
            engines[each.name], measured.turns[each.name] = engine, []
    return engines


def _one_turn(engine: Connection, prompt: np.ndarray) -> tuple[tuple[float, ...], np.ndarray]:
    prefill_s, logits = _call(engine, "prefill", prompt)
    decode_s = statistics.median(_call(engine, "decode", DECODE_STEPS))
    deep_s = statistics.median(_call(engine, "decode_at_depth", DECODE_STEPS))
    return (1e3 * prefill_s, 1e3 * decode_s, 1e3 * deep_s), logits


def _call(engine: Connection, name: str, argument: object) -> tuple:
    engine.send((name, argument))
    return engine.recv()


@contextmanager
def _running(contender: Contender) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, contender.make), name=contender.name)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join()
