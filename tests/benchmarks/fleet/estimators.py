"""Compares ways of making one number of the same samples: estimators, block lengths, amounts."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from statistics import fmean, median

from devices.outcome import Measured, PhaseSamples, ProcessSamples
from devices.summary import is_unsettled
from tests.benchmarks.fleet.agreement import Agreement, Reading, agreement
from tests.benchmarks.fleet.rounds import Rounds, decode, prefill
from tests.benchmarks.fleet.text_table import lines, percent

Pair = tuple[float, float]
"""Milliseconds of one step of the candidate and of the sentinel's step beside it."""
Block = Sequence[Pair]
Within = Callable[[Sequence[Block]], float]
"""Makes one number of the blocks of a process."""
Phase = Callable[[Measured], PhaseSamples]

TRIMMED_SHARE = 0.2
EVERYTHING = 1_000_000


@dataclass(frozen=True)
class Use:
    """How much of the samples is used, and how: 0 steps keeps the blocks as the runner took them.

    `between` makes one number of the processes' logarithms; None takes the blocks of all processes as one process's.
    """

    within: Within
    block_steps: int = 0
    processes: int = EVERYTHING
    blocks: int = EVERYTHING
    between: Callable[[Sequence[float]], float] | None = None

    def value(self, phase: PhaseSamples) -> float:
        """Return the number that this makes of one measurement."""
        processes = [
            regrouped(process, self.block_steps)[: self.blocks]
            for process in phase.processes[: self.processes]
        ]
        if self.between is None:
            return self.within([block for process in processes for block in process])
        return math.exp(self.between([math.log(self.within(process)) for process in processes]))


def regrouped(process: ProcessSamples, block_steps: int) -> list[Block]:
    """Cut a process's steps, which alternate with the sentinel's, into blocks of another length."""
    own = [list(zip(block.candidate_ms, block.sentinel_ms, strict=True)) for block in process.blocks]
    if not block_steps:
        return list(own)
    steps = [pair for block in own for pair in block]
    whole = range(0, len(steps) - block_steps + 1, block_steps)
    return [steps[start : start + block_steps] for start in whole]


def raw_median(blocks: Sequence[Block]) -> float:
    """Return the candidate's median step."""
    return median(_candidate(blocks))


def raw_minimum(blocks: Sequence[Block]) -> float:
    """Return the candidate's fastest step."""
    return min(_candidate(blocks))


def ratio_of_medians(blocks: Sequence[Block]) -> float:
    """Return the candidate's median step over the sentinel's."""
    return median(_candidate(blocks)) / median(_sentinel(blocks))


def ratio_of_minimums(blocks: Sequence[Block]) -> float:
    """Return the candidate's fastest step over the sentinel's."""
    return min(_candidate(blocks)) / min(_sentinel(blocks))


def ratio_of_means(blocks: Sequence[Block]) -> float:
    """Return the candidate's time over the sentinel's."""
    return fmean(_candidate(blocks)) / fmean(_sentinel(blocks))


def median_of_block_ratios(blocks: Sequence[Block]) -> float:
    """Return the median over blocks of the ratio of the block's medians: over all, what `devices.summary` does."""
    return math.exp(median(_block_logs(blocks)))


def mean_of_block_logs(blocks: Sequence[Block]) -> float:
    """Return the geometric mean of the blocks' ratios."""
    return math.exp(fmean(_block_logs(blocks)))


def trimmed_mean_of_block_logs(blocks: Sequence[Block]) -> float:
    """Return the geometric mean of the blocks' ratios without the lowest and the highest fifth."""
    logs = sorted(_block_logs(blocks))
    cut = int(TRIMMED_SHARE * len(logs))
    return math.exp(fmean(logs[cut : len(logs) - cut]))


def hodges_lehmann(blocks: Sequence[Block]) -> float:
    """Return the median of all pairs' means of the blocks' log ratios (Hodges and Lehmann 1963)."""
    pairs = combinations_with_replacement(_block_logs(blocks), 2)
    return math.exp(median((one + other) / 2 for one, other in pairs))


def ratio_by_regression(blocks: Sequence[Block]) -> float:
    """Return the slope through the origin of the candidate's steps over the sentinel's, by least squares."""
    steps = [pair for block in blocks for pair in block]
    return sum(own * other for own, other in steps) / sum(other * other for _, other in steps)


WITHIN: dict[str, Within] = {
    "raw median": raw_median,
    "raw minimum": raw_minimum,
    "ratio of medians": ratio_of_medians,
    "ratio of minimums": ratio_of_minimums,
    "ratio of means": ratio_of_means,
    "ratio by regression": ratio_by_regression,
    "median of block ratios": median_of_block_ratios,
    "mean of block log ratios": mean_of_block_logs,
    "trimmed mean of block logs": trimmed_mean_of_block_logs,
    "Hodges-Lehmann": hodges_lehmann,
}
BETWEEN: dict[str, Callable[[Sequence[float]], float] | None] = {
    "of all blocks": None,
    "of each process, median": median,
    "of each process, mean": fmean,
}
ESTIMATORS: dict[str, Use] = {
    f"{name} {kind}": Use(within, between=between)
    for name, within in WITHIN.items()
    for kind, between in BETWEEN.items()
}
BLOCK_STEPS = (1, 2, 4, 8, 12, 24, 48)
"""Decode steps of a block; a process takes 48."""
PROCESSES = (1, 2, 4, 6)
BLOCKS = (3, 6, 9, 12)


def tables(rounds: Rounds) -> Iterator[list[str]]:
    """Yield the tables: estimators, decode's block lengths, and how many processes and blocks."""
    yield _table("estimators", ESTIMATORS, rounds, (prefill, decode))
    settled = rounds.only(lambda measured: not is_unsettled(measured.decode))
    count = f"{len(settled.rounds[0])} of {len(rounds.rounds[0])} candidates"
    yield _table(f"estimators, {count} whose decode settled in every round", ESTIMATORS, settled, (decode,))
    lengths = {f"{steps} steps": Use(median_of_block_ratios, steps) for steps in BLOCK_STEPS}
    yield _table("block lengths, by median of block ratios", lengths, rounds, (decode,))
    amounts = {
        f"{processes} processes, {blocks} blocks of each": Use(median_of_block_ratios, 0, processes, blocks)
        for processes in PROCESSES
        for blocks in BLOCKS
    }
    yield _table("processes and blocks, by median of block ratios", amounts, rounds, (decode,))
    few = {
        f"{processes} processes, {pairs} pairs of each": Use(median_of_block_ratios, 0, processes, pairs)
        for processes in (1, 2, 3, 4)
        for pairs in (1, 2, 4)
    }
    yield _table("processes and pairs of prefills", few, rounds, (prefill,))


def _table(title: str, uses: dict[str, Use], rounds: Rounds, phases: Sequence[Phase]) -> list[str]:
    names = ("spread", "Spearman", "median diff.")
    head = ("", *(f"{phase.__name__} {name}" for phase in phases for name in names))
    rows = [
        [name, *(cell for phase in phases for cell in _cells(compared(use, phase, rounds)))]
        for name, use in uses.items()
    ]
    return lines(title, head, rows)


def compared(use: Use, phase: Phase, rounds: Rounds) -> Agreement:
    """Say how well rounds agree where samples are used so."""
    return agreement(rounds.readings(lambda measured: Reading(use.value(phase(measured)))))


def _cells(found: Agreement) -> list[str]:
    return [percent(found.spread, 2), f"{found.rank_correlation:.3f}", percent(found.median_difference, 2)]


def _candidate(blocks: Sequence[Block]) -> list[float]:
    return [own for block in blocks for own, _ in block]


def _sentinel(blocks: Sequence[Block]) -> list[float]:
    return [other for block in blocks for _, other in block]


def _block_logs(blocks: Sequence[Block]) -> list[float]:
    return [
        math.log(median(own for own, _ in block) / median(other for _, other in block)) for block in blocks
    ]
