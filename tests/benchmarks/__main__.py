"""Shows what Loopfront's own steps cost: `make bench`, or `python -m tests.benchmarks [export|candidate|demo]`."""

import argparse

from tests.benchmarks.candidate_overhead import measure_overhead
from tests.benchmarks.demo_run import measure_demo
from tests.benchmarks.export_350m import measure_export

BENCHMARKS = {
    "export": lambda: measure_export().lines(),
    "candidate": lambda: measure_overhead().lines(),
    "demo": lambda: measure_demo().lines(),
}


def main() -> None:
    """Run the named benchmarks, or all, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="all by default")
    for name in parser.parse_args().names or BENCHMARKS:
        print(f"== {name}", flush=True)  # noqa: T201 - a benchmark's output
        print("\n".join(BENCHMARKS[name]()), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
