"""Reads the tables of recall scores that ship with the package."""

import functools
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from search.quality.recall_table import read_lines
from search.quality.recall_training import RECALL_VERSION


@functools.cache
def shipped_scores(table_file: str) -> Mapping[str, tuple[float, ...]]:
    """Return the scores of every pattern in a shipped table, one per seed; those of other versions are left out."""
    scores: dict[str, tuple[float, ...]] = {}
    with resources.as_file(resources.files("search.quality") / table_file) as path:
        for line in read_lines(Path(path)):
            if line["version"] == RECALL_VERSION:
                pattern = str(line["pattern"])
                scores[pattern] = (*scores.get(pattern, ()), float(str(line["score"])))
    return scores
