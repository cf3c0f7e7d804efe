"""Compares Loopfront's lowering with llama.cpp and onnxruntime-genai in one run: `make bench-operators`."""

import argparse
from pathlib import Path

from tests.benchmarks.operator_speed.models import SHAPES
from tests.benchmarks.operator_speed.side_by_side import measure


def main() -> None:
    """Measure the asked shapes at the asked numbers of threads and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=SHAPES)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path("build/bench-operators"))
    options = parser.parse_args()
    for shape in options.shapes:
        for threads in options.threads:
            found = measure(shape, threads, options.turns, options.folder.absolute())
            print("\n".join(found.lines()), end="\n\n", flush=True)  # noqa: T201 - a benchmark's output


if __name__ == "__main__":
    main()
