"""How well rounds of the same candidates agree: rank correlation, differences, and what the intervals promised."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from devices.summary import percentile
from search.ranking import spearman


@dataclass(frozen=True)
class Reading:
    """One candidate's value in one round; `half_width` is half its 95 % interval as a share of it, if it has one."""

    value: float
    half_width: float | None = None


Round = Sequence[Reading]


@dataclass(frozen=True)
class Agreement:
    """How well all pairs of rounds agree; `coverage` is None where values carry no interval."""

    rank_correlation: float
    median_difference: float
    p90_difference: float
    coverage: float | None
    spread: float


def agreement(rounds: Sequence[Round]) -> Agreement:
    """Compare every two rounds; each holds the same candidates in the same order, at least two of each."""
    pairs = list(itertools.combinations(rounds, 2))
    differences = [
        abs(math.log(b.value / a.value)) for one, other in pairs for a, b in zip(one, other, strict=True)
    ]
    return Agreement(
        rank_correlation=fmean(_rank_correlation(one, other) for one, other in pairs),
        median_difference=math.expm1(median(differences)),
        p90_difference=math.expm1(percentile(differences, 90)),
        coverage=_coverage(pairs),
        spread=spread(rounds),
    )


def spread(rounds: Sequence[Round]) -> float:
    """Return the standard deviation of one candidate's value between rounds, as a share of it."""
    squares = []
    for readings in zip(*rounds, strict=True):
        logs = [math.log(reading.value) for reading in readings]
        squares += [(log - fmean(logs)) ** 2 for log in logs]
    degrees = len(squares) * (len(rounds) - 1) / len(rounds)
    return math.expm1(math.sqrt(sum(squares) / degrees))


def is_covered(interval: Reading, value: float) -> bool:
    """Tell whether a 95 % interval holds another round's value, once widened by √2 since that value errs too."""
    assert interval.half_width is not None
    return abs(math.log(value / interval.value)) <= math.sqrt(2) * math.log1p(interval.half_width)


def _rank_correlation(one: Round, other: Round) -> float:
    found = spearman([reading.value for reading in one], [reading.value for reading in other])
    return math.nan if found is None else found


def _coverage(pairs: Sequence[tuple[Round, Round]]) -> float | None:
    both_ways = [
        (interval, other.value)
        for pair in pairs
        for one, another in (pair, pair[::-1])
        for interval, other in zip(one, another, strict=True)
        if interval.half_width is not None
    ]
    return fmean(is_covered(interval, value) for interval, value in both_ways) if both_ways else None
