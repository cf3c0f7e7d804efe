"""The recall score of a layout: looked up in the shipped table, or trained on demand where the table has none."""

import functools
import math
from dataclasses import dataclass

from search.quality.recall_table import TABLE_FILE
from search.quality.recall_training import train_pattern
from search.quality.reduction import reduce_to_four
from search.quality.shipped_scores import shipped_scores


@dataclass(frozen=True)
class RecallScore:
    """Mean accuracy on the recall tasks of the small model that stands for a layout, in [0, 1].

    `deviation` is one standard deviation of a single seed's score, pooled over the patterns trained at several
    seeds; that of `score`, the mean over `seeds`, is smaller by their square root.
    `source` is "table" or "trained on demand".
    """

    pattern: str
    score: float
    deviation: float
    seeds: int
    source: str


def tabled_score(layout: str) -> RecallScore | None:
    """Return the score of a layout's pattern if the shipped table holds it."""
    pattern = reduce_to_four(layout)
    scores = shipped_scores(TABLE_FILE).get(pattern)
    if scores is None:
        return None
    return RecallScore(pattern, sum(scores) / len(scores), pooled_deviation(), len(scores), "table")


def trained_score(layout: str, seed: int = 0) -> RecallScore:
    """Train the layout's pattern now: about 25 seconds of one CPU core."""
    pattern = reduce_to_four(layout)
    return RecallScore(
        pattern, train_pattern(pattern, seed).score, pooled_deviation(), 1, "trained on demand"
    )


@functools.cache
def pooled_deviation() -> float:
    """Standard deviation between seeds, pooled over the patterns that were trained at more than one."""
    repeated = [scores for scores in shipped_scores(TABLE_FILE).values() if len(scores) > 1]
    freedom = sum(len(scores) - 1 for scores in repeated)
    squares = sum((score - sum(scores) / len(scores)) ** 2 for scores in repeated for score in scores)
    return math.sqrt(squares / freedom)
