"""Compares Loopfront's operators with their peers in one run: `make bench-operators`."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from operators.precision import Precision
from tests.benchmarks.operator_speed.models import SHAPES
from tests.benchmarks.operator_speed.operator_table import processor
from tests.benchmarks.operator_speed.side_by_side import measure
from tests.benchmarks.operator_speed.single_operators import measure_mixers
from tests.benchmarks.operator_speed.training_speed import measure_training

PARTS = ("models", "operators", "training")
MIXER_BLOCK_SIZES = (32, 128)


def main() -> None:
    """Measure the asked parts and print a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=SHAPES)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--turns", type=int, default=7, help="of whole models; one more is not counted")
    parser.add_argument("--folder", type=Path, default=Path("build/bench-operators"))
    options = parser.parse_args()
    print(f"{processor()}\n", flush=True)  # noqa: T201
    for table in tables(options):
        print("\n".join(table), end="\n\n", flush=True)  # noqa: T201 - a benchmark's output


def tables(options: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the lines of each table as soon as it is measured."""
    folder = options.folder.absolute()
    if "models" in options.parts:
        for shape in options.shapes:
            for threads in options.threads:
                yield measure(shape, threads, options.turns, folder).lines()
    if "operators" in options.parts:
        for block_size in MIXER_BLOCK_SIZES:
            for threads in options.threads:
                yield measure_mixers(folder, Precision(4, block_size), threads).lines()
    if "training" in options.parts:
        yield measure_training(max(options.threads))


if __name__ == "__main__":
    main()
