"""Shows how numbers of a fleet repeat, what connections and the agent add, and how many devices one agent serves.

`make bench-fleet`, or `python -m tests.benchmarks.fleet`. Every measurement is kept under --folder as soon as it is
done, so that a run that was stopped goes on where it was. Nothing else should run on the machine meanwhile.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from devices.bench import Bench, local_bench
from devices.identity import machine_identity
from devices.readiness import Thresholds
from tests.benchmarks.fleet import connections, disturbed, estimators, interleaving, many, overhead, repeat
from tests.benchmarks.fleet.candidates import Candidates
from tests.benchmarks.fleet.rounds import Rounds
from tests.benchmarks.fleet.sample_folder import OtherRun, SampleFolder
from tests.benchmarks.fleet.taking import Taker
from tests.benchmarks.operator_speed.operator_table import processor
from tests.devices.namespaces import trouble

Table = list[str]


@dataclass
class Run:
    """What the parts of one run share: made when a part first asks for it."""

    options: argparse.Namespace

    @cached_property
    def folder(self) -> Path:
        return self.options.folder.absolute()

    @cached_property
    def samples(self) -> SampleFolder:
        samples = SampleFolder(self.folder)
        samples.claim(
            {
                "candidates": self.options.candidates,
                "machine": machine_identity(self.folder),
                "runner": self.bench.runner.sha256,
                "runtime": self.bench.library.sha256,
            }
        )
        return samples

    @cached_property
    def candidates(self) -> Candidates:
        return Candidates(self.samples, self.options.candidates)

    @cached_property
    def taker(self) -> Taker:
        return Taker(self.samples, self.candidates.graph)

    @cached_property
    def thresholds(self) -> Thresholds:
        return Thresholds(idle_cores=self.options.idle_cores)

    @cached_property
    def bench(self) -> Bench:
        return local_bench(self.folder / connections.LOCAL, self.thresholds)

    @cached_property
    def rounds(self) -> Rounds:
        span_s = 60 * self.options.minutes
        return repeat.measure_rounds(self.candidates, self.taker, self.bench, self.options.rounds, span_s)

    def repeat(self) -> Iterator[Table]:
        yield repeat.table(self.rounds, self.candidates.words())

    def estimators(self) -> Iterator[Table]:
        yield from estimators.tables(self.rounds)

    def interleaving(self) -> Iterator[Table]:
        rounds, count = self.options.rounds, self.options.interleaved
        yield interleaving.table(
            interleaving.measure_ways(self.candidates, self.samples, self.bench, rounds, count)
        )

    def disturbed(self) -> Iterator[Table]:
        reference = repeat.calibrated(self.candidates, self.taker, self.bench)
        count = self.options.disturbed
        yield disturbed.table(
            disturbed.measure_disturbed(self.candidates, self.taker, self.bench, reference, count)
        )

    def connections(self) -> Iterator[Table]:
        reference = repeat.calibrated(self.candidates, self.taker, self.bench)
        yield connections.table(
            connections.measure_connections(
                self.candidates, self.taker, self.folder, self.thresholds, reference, self.options.connected
            )
        )

    def overhead(self) -> Iterator[Table]:
        reference = repeat.calibrated(self.candidates, self.taker, self.bench)
        yield overhead.table(
            overhead.measure_overhead(
                self.candidates, self.samples, self.thresholds, reference, self.options.leased
            )
        )

    def many(self) -> Iterator[Table]:
        if reason := trouble():
            yield [f"one agent with many devices: left out, as {reason}"]
            return
        with TemporaryDirectory(prefix="bench-fleet-") as folder:
            devices = [str(number) for number in range(self.options.devices)]
            fleet = many.run_fleet(Path(folder) / "many", devices, self.options.jobs)
            same = many.run_fleet(Path(folder) / "same", ("one", "one"), self.options.jobs)
            yield many.table(fleet, same)


PARTS: dict[str, Callable[[Run], Iterator[Table]]] = {
    "repeat": Run.repeat,
    "estimators": Run.estimators,
    "interleaving": Run.interleaving,
    "disturbed": Run.disturbed,
    "connections": Run.connections,
    "overhead": Run.overhead,
    "many": Run.many,
}


def main() -> int:
    """Measure the asked parts one after another and print their tables."""
    options = _options()
    print(f"{processor()}\n", flush=True)  # noqa: T201 - a benchmark's output
    run = Run(options)
    try:
        for part in options.parts:
            for table in PARTS[part](run):
                print("\n".join(table), end="\n\n", flush=True)  # noqa: T201
    except OtherRun as other:
        print(f"bench-fleet: {other}")  # noqa: T201
        return 2
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench-fleet", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    names = ",".join(PARTS)
    parser.add_argument("--parts", type=_parts, default=names, help="comma-separated")
    parser.add_argument(
        "--candidates", type=int, default=40, help="how many are drawn; other parts use the first few"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of repeat and interleaving")
    parser.add_argument(
        "--minutes", type=float, default=30, help="from the first measurement of repeat to the last"
    )
    parser.add_argument("--interleaved", type=int, default=8, help="candidates of interleaving")
    parser.add_argument("--disturbed", type=int, default=12, help="candidates under each load")
    parser.add_argument("--connected", type=int, default=6, help="candidates through each connection")
    parser.add_argument("--leased", type=int, default=5, help="candidates of overhead")
    parser.add_argument("--devices", type=int, default=20, help="of many")
    parser.add_argument("--jobs", type=int, default=10, help="for each device of many")
    parser.add_argument(
        "--idle-cores",
        type=float,
        default=Thresholds.idle_cores,
        help="of the readiness gate; 0 ignores load",
    )
    parser.add_argument("--folder", type=Path, default=Path("build/bench-fleet"))
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown part {unknown[0]!r}; known are {', '.join(PARTS)}")
    return parts


if __name__ == "__main__":
    raise SystemExit(main())
