"""Compares measuring a candidate's processes one after another with letting candidates take turns."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from devices.bench import Bench
from devices.outcome import PhaseSamples
from devices.service_link import LEASES_PER_DEVICE
from tests.benchmarks.fleet.agreement import Reading, agreement
from tests.benchmarks.fleet.candidates import SEED, Candidate, Candidates
from tests.benchmarks.fleet.estimators import Use, median_of_block_ratios, raw_median
from tests.benchmarks.fleet.sample_folder import SampleFolder
from tests.benchmarks.fleet.single_process import ProcessTimer, TimedProcess, read_process
from tests.benchmarks.fleet.text_table import lines, percent

PROCESSES = 6
WAYS = {
    "one after another": 1,
    f"{LEASES_PER_DEVICE} in turns": LEASES_PER_DEVICE,
    "all in turns": 1_000_000,
}
"""How many candidates take turns at a time."""
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


def order_of(together: int, names: Sequence[str], processes: int) -> list[Turn]:
    """Return in which order the processes of a round run, where so many candidates take turns."""
    groups = [names[start : start + together] for start in range(0, len(names), together)]
    return [(name, number) for group in groups for number in range(processes) for name in group]


def measure_ways(
    candidates: Candidates, samples: SampleFolder, bench: Bench, rounds: int, count: int
) -> Compared:
    """Measure some candidates every way in every round; which way comes first changes."""
    chosen = {each.name: each for each in candidates.all[:count]}
    timer = ProcessTimer(bench, candidates.graph)
    for each in chosen.values():
        timer.place(each.plan)
    found: dict[str, list[dict[Turn, TimedProcess]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in [*WAYS][number % len(WAYS) :] + [*WAYS][: number % len(WAYS)]:
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
        for name, process in order_of(WAYS[way], names, PROCESSES)
    }


def _phase(one: dict[Turn, TimedProcess], name: str, phase: str) -> PhaseSamples:
    found = [process for (owner, _), process in sorted(one.items()) if owner == name]
    return PhaseSamples(tuple(getattr(process, phase) for process in found))


def table(compared: Compared) -> list[str]:
    """Return the ways beside each other, and how much the processes of one candidate differ within a round."""
    rows = []
    for phase in ("prefill", "decode"):
        for kind, use in NUMBERS.items():
            for way in WAYS:
                found = agreement(compared.readings(way, phase, use))
                cells = [percent(found.spread, 2), f"{found.rank_correlation:.3f}"]
                rows.append([f"{phase} {kind}, {way}", *cells, percent(found.median_difference, 2)])
    head = ("", "spread", "Spearman", "median diff.")
    rounds = len(next(iter(compared.processes.values())))
    return lines(f"{PROCESSES} processes of each candidate, {rounds} rounds", head, rows)
