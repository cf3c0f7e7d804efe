"""How far the recall scores repeat: between seeds, and when the models are trained twice as long."""

from dataclasses import dataclass
from statistics import fmean

from search.quality.recall_table import LONGER_TABLE_FILE, TABLE_FILE
from search.quality.shipped_scores import shipped_scores
from search.ranking import kendall_tau

ALIKE = 0.1
"""Scores within this of each other are of one tier: layouts learn recall (0.8 and more) or don't (0.4 to 0.5)."""


@dataclass(frozen=True)
class SeedAgreement:
    """How the patterns that were trained at several seeds repeat: all of them, and those that stay in one tier."""

    patterns: int
    alike: int


def seed_agreement() -> SeedAgreement:
    """Count the patterns whose scores at several seeds stay within ALIKE of each other."""
    repeated = [scores for scores in shipped_scores(TABLE_FILE).values() if len(scores) > 1]
    return SeedAgreement(len(repeated), sum(max(scores) - min(scores) <= ALIKE for scores in repeated))


@dataclass(frozen=True)
class LongerAgreement:
    """How the ranks of some patterns hold when they are trained twice as long; `kendall_tau` in [-1, 1]."""

    patterns: int
    kendall_tau: float


def longer_agreement() -> LongerAgreement:
    """Compare the scores of the patterns that were trained twice as long with those that are used."""
    longer, used = shipped_scores(LONGER_TABLE_FILE), shipped_scores(TABLE_FILE)
    both = sorted(longer.keys() & used.keys())
    first, second = ([fmean(table[pattern]) for pattern in both] for table in (used, longer))
    return LongerAgreement(len(both), kendall_tau(first, second))
