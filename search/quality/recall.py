"""The recall score of a layout: looked up in the shipped table, or trained on demand where the table has none."""

import functools
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from search.quality.recall_table import read_lines
from search.quality.recall_training import RECALL_VERSION, train_pattern
from search.quality.reduction import reduce_to_four

TABLE_FILE = "recall_scores.jsonl"
UNKNOWN_SPREAD = 0.03
"""Standard deviation assumed between seeds where the table holds no repeated pattern."""


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
    scores = shipped_table().get(pattern)
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
def shipped_table() -> dict[str, tuple[float, ...]]:
    """Return the scores of every shipped pattern, one per seed."""
    table: dict[str, tuple[float, ...]] = {}
    with resources.as_file(resources.files("search.quality") / TABLE_FILE) as path:
        for line in read_lines(Path(path)):
            if line["version"] == RECALL_VERSION:
                pattern = str(line["pattern"])
                table[pattern] = (*table.get(pattern, ()), float(str(line["score"])))
    return table


@functools.cache
def pooled_deviation() -> float:
    """Standard deviation between seeds, pooled over the patterns that were trained at more than one."""
    repeated = [scores for scores in shipped_table().values() if len(scores) > 1]
    freedom = sum(len(scores) - 1 for scores in repeated)
    if not freedom:
        return UNKNOWN_SPREAD
    squares = sum((score - sum(scores) / len(scores)) ** 2 for scores in repeated for score in scores)
    return math.sqrt(squares / freedom)
