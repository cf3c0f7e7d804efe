"""How well two rounds of numbers agree: rank correlation and relative difference."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from search.errors import ComparisonError


@dataclass(frozen=True)
class Repeatability:
    """Agreement of two rounds; `rank_correlation` is None where a round has no two different values."""

    rank_correlation: float | None
    median_relative_difference: float
    count: int


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation (ties share their mean rank), or None where a side is constant.

    Raises ComparisonError for unequal lengths, fewer than two pairs, or a value that is not a number.
    """
    _refuse_unpaired(first, second)
    ranks_first, ranks_second = _mean_ranks(first), _mean_ranks(second)
    if len(set(ranks_first)) == 1 or len(set(ranks_second)) == 1:
        return None
    return statistics.correlation(ranks_first, ranks_second)


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Kendall's tau-a: pairs ordered alike less pairs ordered otherwise, over all pairs (ties count nothing).

    Raises ComparisonError as `spearman` does.
    """
    _refuse_unpaired(first, second)
    pairs = list(itertools.combinations(zip(first, second, strict=True), 2))
    signs = [(a > c) - (a < c) for (a, _), (c, _) in pairs]
    others = [(b > d) - (b < d) for (_, b), (_, d) in pairs]
    return sum(one * other for one, other in zip(signs, others, strict=True)) / len(pairs)


def repeatability(first: Sequence[float], second: Sequence[float]) -> Repeatability:
    """Compare two rounds of the same candidates, in the same order.

    The relative difference of a pair is |a - b| over the pair's mean, so that no round is favoured.
    """
    rank_correlation = spearman(first, second)
    differences = [_relative_difference(a, b) for a, b in zip(first, second, strict=True)]
    return Repeatability(rank_correlation, statistics.median(differences), len(first))


def _relative_difference(a: float, b: float) -> float:
    mean = (abs(a) + abs(b)) / 2
    return abs(a - b) / mean if mean else 0.0


def _mean_ranks(numbers: Sequence[float]) -> list[float]:
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    ranks = [0.0] * len(numbers)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and numbers[order[end + 1]] == numbers[order[start]]:
            end += 1
        for position in order[start : end + 1]:
            ranks[position] = (start + end) / 2
        start = end + 1
    return ranks


def _refuse_unpaired(first: Sequence[float], second: Sequence[float]) -> None:
    if len(first) != len(second):
        raise ComparisonError(f"{len(first)} values can't be paired with {len(second)}")
    if len(first) < 2:
        raise ComparisonError(f"a rank correlation needs two pairs or more, not {len(first)}")
    if any(math.isnan(number) for number in (*first, *second)):
        raise ComparisonError("a value to rank is not a number")
