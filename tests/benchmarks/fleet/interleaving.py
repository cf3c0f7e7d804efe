"""Compares measuring a candidate's processes one after another with spreading them over the round."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from devices.bench import Bench
from devices.outcome import PhaseSamples
from tests.benchmarks.fleet.agreement import Reading, agreement
from tests.benchmarks.fleet.candidates import SEED, Candidate, Candidates
from tests.benchmarks.fleet.estimators import Use, median_of_block_ratios, raw_median
from tests.benchmarks.fleet.sample_folder import SampleFolder
from tests.benchmarks.fleet.single_process import ProcessTimer, TimedProcess, read_process
from tests.benchmarks.fleet.text_table import lines, percent

PROCESSES = 6
BACK_TO_BACK, SPREAD = "back to back", "spread over the round"
WAYS = (BACK_TO_BACK, SPREAD)
NUMBERS = {"raw": Use(raw_median), "paired": Use(median_of_block_ratios)}

Turn = tuple[str, int]
"""A candidate's name, and which of its processes."""


@dataclass(frozen=True)
class Compared:
    """All processes by way, round, candidate and number."""

    processes: dict[str, list[dict[Turn, TimedProcess]]]

    def readings(self, way: str, phase: str, use: Use) -> list[list[Reading]]:
        """Return one number per round and candidate."""
        return [
            [Reading(use.value(_phase(one, name, phase))) for name in sorted({name for name, _ in one})]
            for one in self.processes[way]
        ]


def order_of(way: str, names: Sequence[str], processes: int) -> list[Turn]:
    """Return in which order the processes of a round run."""
    if way == BACK_TO_BACK:
        return [(name, number) for name in names for number in range(processes)]
    return [(name, number) for number in range(processes) for name in names]


def measure_ways(
    candidates: Candidates, samples: SampleFolder, bench: Bench, rounds: int, count: int
) -> Compared:
    """Measure some candidates both ways in every round; which way comes first alternates."""
    chosen = {each.name: each for each in candidates.all[:count]}
    timer = ProcessTimer(bench, candidates.graph)
    for each in chosen.values():
        timer.place(each.plan)
    found: dict[str, list[dict[Turn, TimedProcess]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS[:: 1 if number % 2 == 0 else -1]:
            found[way].append(_measure(chosen, samples, timer, number, way))
    return Compared(found)


def _measure(
    chosen: dict[str, Candidate], samples: SampleFolder, timer: ProcessTimer, number: int, way: str
) -> dict[Turn, TimedProcess]:
    names = sorted(chosen)
    random.Random(f"{SEED} {number} {way}").shuffle(names)
    folder = f"interleaving/round-{number + 1}/{way.replace(' ', '-')}"
    return {
        (name, process): read_process(
            samples.once(
                f"{folder}/{name}-{process}",
                lambda name=name, process=process: timer.time(chosen[name].plan, process % 2 == 1),
            )
        )
        for name, process in order_of(way, names, PROCESSES)
    }


def _phase(one: dict[Turn, TimedProcess], name: str, phase: str) -> PhaseSamples:
    found = [process for (owner, _), process in sorted(one.items()) if owner == name]
    return PhaseSamples(tuple(getattr(process, phase) for process in found))


def table(compared: Compared) -> list[str]:
    """Return both ways beside each other, and how much the processes of one candidate differ within a round."""
    rows = []
    for phase in ("prefill", "decode"):
        for kind, use in NUMBERS.items():
            for way in WAYS:
                found = agreement(compared.readings(way, phase, use))
                cells = [percent(found.spread, 2), f"{found.rank_correlation:.3f}"]
                rows.append([f"{phase} {kind}, {way}", *cells, percent(found.median_difference, 2)])
    head = ("", "spread", "Spearman", "median diff.")
    rounds = len(compared.processes[SPREAD])
    return lines(f"{PROCESSES} processes of each candidate, {rounds} rounds", head, rows)
