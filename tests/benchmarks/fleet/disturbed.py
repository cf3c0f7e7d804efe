"""Measures a few candidates under disturbing loads: near their quiet value, or refused."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from devices.bench import Bench
from devices.outcome import Measured, PhaseSamples
from devices.plan import SentinelReference
from devices.summary import summarise
from tests.benchmarks.fleet.candidates import Candidate, Candidates
from tests.benchmarks.fleet.loads import LOADS, disturbed
from tests.benchmarks.fleet.rounds import decode, prefill
from tests.benchmarks.fleet.taking import Taken, Taker
from tests.benchmarks.fleet.text_table import lines, percent

AIM = "aim: paired within 5 %, or the run is refused"
FARTHEST = 0.05


@dataclass(frozen=True)
class Disturbed:
    """One load's measurements beside the quiet ones, by candidate."""

    quiet: Sequence[Measured]
    taken: Sequence[Taken]

    def off(self, phase: Callable[[Measured], PhaseSamples], is_paired: bool) -> list[float]:
        """Return by how much each measured candidate is off its quiet value."""
        return [
            abs(
                math.expm1(math.log(_value(phase(one.measured), is_paired) / _value(phase(quiet), is_paired)))
            )
            for quiet, one in zip(self.quiet, self.taken, strict=True)
            if one.is_measured
        ]


def measure_disturbed(
    candidates: Candidates, taker: Taker, bench: Bench, reference: SentinelReference, count: int
) -> dict[str, Disturbed]:
    """Measure each candidate quietly, where part `repeat` has not, then under each load, without retries."""
    chosen = candidates.all[:count]
    wanted = {f"repeat/round-1/{each.name}": each.calibrated(reference) for each in chosen}
    quiet = [each.measured for each in taker.take_in_turns(wanted, bench).values()]
    return {name: Disturbed(quiet, _taken(name, chosen, taker, bench, reference)) for name in LOADS}


def _taken(
    name: str, chosen: Sequence[Candidate], taker: Taker, bench: Bench, reference: SentinelReference
) -> list[Taken]:
    folder = f"disturbed/{name.replace(' ', '-')}"
    wanted = {f"{folder}/{each.name}": each.calibrated(reference) for each in chosen}
    with disturbed(LOADS[name]):
        return list(taker.take_in_turns(wanted, bench, has_retries=False).values())


def table(found: dict[str, Disturbed]) -> list[str]:
    """Return how far disturbed values are off, raw and paired, and what became of every run."""
    rows = [
        [f"{load}: {phase.__name__} {'paired' if is_paired else 'raw'}", *_cells(each.off(phase, is_paired))]
        for load, each in found.items()
        for phase in (prefill, decode)
        for is_paired in (False, True)
    ]
    notes = [f"{load}: {_outcomes(each)}" for load, each in found.items()]
    head = ("off the quiet value", "median", "largest", f"beyond {percent(FARTHEST, 0)}")
    return lines("disturbed by another program", head, rows, [*notes, AIM])


def _cells(off: Sequence[float]) -> list[str]:
    if not off:
        return ["", "", ""]
    beyond = sum(each > FARTHEST for each in off)
    return [percent(median(off)), percent(max(off)), f"{beyond} of {len(off)}"]


def _outcomes(found: Disturbed) -> str:
    counted = Counter(each.outcome.kind for each in found.taken)
    return ", ".join(f"{count} {kind}" for kind, count in counted.most_common())


def _value(phase: PhaseSamples, is_paired: bool) -> float:
    summary = summarise(phase)
    return summary.ratio_median if is_paired else summary.raw_p50_ms
