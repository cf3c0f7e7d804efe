"""Measures the same candidates in shuffled rounds and shows how well the rounds agree, raw and paired."""

import random
import time
from collections.abc import Sequence
from statistics import median

from devices.bench import Bench
from devices.plan import SentinelReference
from tests.benchmarks.fleet.agreement import Agreement, agreement
from tests.benchmarks.fleet.candidates import SEED, Candidate, Candidates
from tests.benchmarks.fleet.rounds import Rounds, decode, paired, peak_rss, prefill, raw
from tests.benchmarks.fleet.taking import Taken, Taker
from tests.benchmarks.fleet.text_table import lines, percent

AIMS = "aims: paired Spearman ≥ 0.97, median difference ≤ 2 %, coverage ≥ 93 %, ≤ 15 s per candidate"
CALIBRATION = "repeat/calibration"


def measure_rounds(candidates: Candidates, taker: Taker, bench: Bench, count: int, span_s: float) -> Rounds:
    """Calibrate, then measure all candidates once a round; rounds wait so that the last one starts after `span_s`."""
    reference = calibrated(candidates, taker, bench)
    rounds: list[tuple[Taken, ...]] = []
    for number in range(count):
        if number and not _is_taken(taker, candidates.all, number):
            _wait_until(_start_of_round(number, count, rounds[0], span_s))
        rounds.append(_measure_round(candidates.all, taker, bench, reference, number))
    return Rounds(reference, tuple(rounds))


def calibrated(candidates: Candidates, taker: Taker, bench: Bench) -> SentinelReference:
    """Return the sentinel's level on this machine, measured once in a run."""
    return taker.calibrated(CALIBRATION, candidates.sentinel_plan, bench)


def _measure_round(
    candidates: Sequence[Candidate], taker: Taker, bench: Bench, reference: SentinelReference, number: int
) -> tuple[Taken, ...]:
    order = list(candidates)
    random.Random(f"{SEED} {number}").shuffle(order)
    taken = taker.take_in_turns({_key(number, each): each.calibrated(reference) for each in order}, bench)
    return tuple(taken[_key(number, each)] for each in candidates)


def _key(number: int, candidate: Candidate) -> str:
    return f"repeat/round-{number + 1}/{candidate.name}"


def _is_taken(taker: Taker, candidates: Sequence[Candidate], number: int) -> bool:
    return len(taker.samples.under(f"repeat/round-{number + 1}")) == len(candidates)


def _start_of_round(number: int, count: int, first: Sequence[Taken], span_s: float) -> float:
    """Spread the rounds' starts, so that the last measurement starts `span_s` after the first, if not later."""
    starts = [taken.started_at_s for taken in first]
    length_s = max(starts) - min(starts)
    return min(starts) + max(0.0, span_s - length_s) * number / (count - 1)


def _wait_until(time_s: float) -> None:
    time.sleep(max(0.0, time_s - time.time()))


def table(rounds: Rounds, about: str) -> list[str]:
    """Return the table of agreement between rounds, with what it cost."""
    reads = {
        "TTFT raw": raw(prefill),
        "TTFT paired": paired(prefill, rounds.reference.prefill_ms),
        "TPOT raw": raw(decode),
        "TPOT paired": paired(decode, rounds.reference.decode_ms),
        "peak RSS": peak_rss,
    }
    found = {name: agreement(rounds.readings(read)) for name, read in reads.items()}
    rows = [_row(name, each) for name, each in found.items()]
    head = ("", "Spearman", "median diff.", "p90 diff.", "spread", "coverage")
    return lines(f"repeatability: {about}", head, rows, [*_cost(rounds), AIMS])


def _row(name: str, found: Agreement) -> list[str]:
    return [
        name,
        f"{found.rank_correlation:.3f}",
        percent(found.median_difference, 2),
        percent(found.p90_difference, 2),
        percent(found.spread, 2),
        percent(found.coverage),
    ]


def _cost(rounds: Rounds) -> list[str]:
    taken = [each for one in rounds.rounds for each in one]
    seconds = [each.seconds for each in taken if each.is_measured]
    refused = sum(len(each.refusals) for each in taken)
    failed = [each.outcome.kind for each in taken if not each.is_measured]
    return [
        f"{len(rounds.rounds)} rounds, {rounds.span_s / 60:.1f} minutes from first to last",
        f"device seconds per candidate: median {median(seconds):.1f}, largest {max(seconds):.1f}; "
        f"attempts refused and repeated: {refused}; given up: {', '.join(failed) or 'none'}",
    ]
