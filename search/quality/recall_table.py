"""Trains the shipped tables of recall scores: `python -m search.quality.recall_table`.

One line per trained model; a run that was stopped goes on where it left off. 625 patterns at one seed and 40 of them
at two more cost about 5 CPU hours; 20 of them trained twice as long, to check the ranks, cost a quarter of an hour.
"""

import argparse
import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from pathlib import Path

from search.quality.recall_training import RECALL_VERSION, SMALL_MIXERS, Recipe, train_pattern

SPREAD_SEEDS = (1, 2)
SPREAD_PATTERNS = 40
TABLE_FILE = "recall_scores.jsonl"
LONGER_TABLE_FILE = "recall_scores_longer.jsonl"
STANDARD = Recipe()
LONGER = dataclasses.replace(STANDARD, steps=2 * STANDARD.steps)

Run = tuple[str, int]
"""A pattern and a seed."""


def all_patterns() -> list[str]:
    """Return every four-letter pattern, those of few different mixers (the likeliest layouts) first."""
    patterns = ("".join(letters) for letters in itertools.product(sorted(SMALL_MIXERS), repeat=4))
    return sorted(patterns, key=lambda pattern: (len(set(pattern)), pattern))


def spread_patterns() -> list[str]:
    """Return 40 patterns spread evenly over the alphabet of patterns, for the spread between seeds."""
    patterns = sorted(all_patterns())
    return [patterns[i * len(patterns) // SPREAD_PATTERNS] for i in range(SPREAD_PATTERNS)]


def planned_runs() -> list[Run]:
    """Return every run of the table, in the order of training."""
    spread = [(pattern, seed) for seed in SPREAD_SEEDS for pattern in spread_patterns()]
    return [(pattern, 0) for pattern in all_patterns()] + spread


def longer_runs() -> list[Run]:
    """Return the runs that are trained twice as long: every other one of the patterns trained at several seeds."""
    return [(pattern, 0) for pattern in spread_patterns()[::2]]


def trained_line(pattern: str, seed: int, recipe: Recipe) -> str:
    """Train one model and return its line of the table."""
    trained = train_pattern(pattern, seed, recipe)
    by_task = {task: round(accuracy, 4) for task, accuracy in trained.by_task.items()}
    document = {
        "version": RECALL_VERSION,
        "pattern": pattern,
        "seed": seed,
        "score": round(trained.score, 4),
        "by_task": by_task,
    }
    return json.dumps(document)


def read_lines(path: Path) -> Iterator[dict[str, object]]:
    """Yield the table's complete lines; a line cut short by a crash is skipped and trained again."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def main() -> None:
    """Train what is missing and append it to both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="where the tables lie")
    parser.add_argument("--workers", type=int, default=1, help="processes, each on one thread")
    options = parser.parse_args()
    with ProcessPoolExecutor(options.workers) as pool:
        _complete(options.folder / LONGER_TABLE_FILE, longer_runs(), LONGER, pool)
        _complete(options.folder / TABLE_FILE, planned_runs(), STANDARD, pool)


def _complete(path: Path, planned: Sequence[Run], recipe: Recipe, pool: Executor) -> None:
    done = {(line["pattern"], line["seed"]) for line in read_lines(path)}
    with path.open("a") as table:
        runs = [pool.submit(trained_line, *run, recipe) for run in planned if run not in done]
        for run in as_completed(runs):
            table.write(run.result() + "\n")
            table.flush()


if __name__ == "__main__":
    main()
