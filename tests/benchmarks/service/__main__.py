"""Loads a service on PostgreSQL and one on SQLite in turns: a thousand simulated devices, a hundred studies."""

import argparse
import asyncio
import os
import resource
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from devices.plan import SentinelReference, to_dict
from search.parametrisation import Parametrisation
from search.sampling import random_parameters
from service.measurement_plans import Calibration, Conditions, candidate_plan, lower_model
from service.store.rows import StudyRow
from service.study_file import read_study
from tests.benchmarks.fleet.processes import Usage, processor_seconds, watched
from tests.benchmarks.fleet.text_table import lines
from tests.benchmarks.service.devices import Load, SimulatedDevice, registered
from tests.benchmarks.service.line import Line
from tests.benchmarks.service.seeding import METRICS, add_jobs, add_trials, settle, study_document
from tests.benchmarks.service.served import DATABASES, Served, served
from tests.postgresql import trouble

AGENTS = 20
SMALL, LARGE_FRONT = 1_000, 10_000
SHORT, LONG = "short", "long"
AIMS = "aims: p99 of a lease at most 100 ms at 200 requests/s on PostgreSQL; a front of 10 000 trials at most 300 ms"


@dataclass(frozen=True)
class Round:
    """What came of a load on one service; `rate` is the requests per second that were asked for."""

    rate: float
    seconds: float
    load: Load
    usage: Usage
    database_s: float
    database_bytes: int

    @property
    def requests(self) -> int:
        """How many were answered."""
        return len(self.load.lease_s) + len(self.load.result_s)


@dataclass
class Bench:
    """One service with everything that was found out about it."""

    service: Served
    studies: dict[str, str] = field(default_factory=dict)
    devices: Sequence[SimulatedDevice] = ()
    rounds: list[Round] = field(default_factory=list)
    reads: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )


def main() -> None:
    """Fill, read, fill more, read again, then load; print the tables."""
    options = _options()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if reason := trouble():
        print(f"bench-service: {reason}")  # noqa: T201 - a benchmark's output
        return
    with TemporaryDirectory(prefix="bench-service-") as folder, ExitStack() as stack:
        with _on_cores(options.cores):
            benches = [
                Bench(stack.enter_context(served(name, Path(folder) / name, options.processes)))
                for name in DATABASES
            ]
        asyncio.run(_run(benches, options))
    for table in (_load_table(benches, options), _read_table(benches)):
        print("\n".join(table), end="\n\n", flush=True)  # noqa: T201


@contextmanager
def _on_cores(count: int | None) -> Iterator[None]:
    """Keep what is started within, services and databases, to the first cores; the load then has the others, if any."""
    ours = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, ours[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours[count or len(ours) :] or ours)


async def _run(benches: Sequence[Bench], options: argparse.Namespace) -> None:
    plan = _a_plan()
    for bench in benches:
        await _fill(bench, options)
    await _read_in_turns(benches, f"{SMALL} trials")
    for bench in benches:
        _fill_up(bench, options)
    await _read_in_turns(benches, f"{options.trials} trials")
    for _ in range(options.rounds):
        for rate in options.rate:
            for bench in benches:
                await _load(bench, options, rate, plan)


async def _fill(bench: Bench, options: argparse.Namespace) -> None:
    service = bench.service
    bench.devices = await registered(service.doors, service.agent_headers, AGENTS, options.devices)
    with service.client() as client:
        for number in range(options.studies):
            device = f"simulated-{number % AGENTS}-0"
            name = {0: LONG, 1: SHORT}.get(number, f"study-{number}")
            study = client.submit_study(study_document(name, number, 1000, device))
            bench.studies[study.name] = study.id
    ids = list(bench.studies.values())
    add_trials(service.database, bench.studies[SHORT], 1, 100, seed=1)
    share = (SMALL - 100) // (len(ids) - 2)
    for number, study_id in enumerate(ids[2:], start=2):
        add_trials(service.database, study_id, 1, share, seed=number)


def _fill_up(bench: Bench, options: argparse.Namespace) -> None:
    database, ids = bench.service.database, list(bench.studies.values())
    add_trials(database, bench.studies[LONG], 1, LARGE_FRONT, seed=0)
    share = (options.trials - LARGE_FRONT - SMALL) // (len(ids) - 2)
    for number, study_id in enumerate(ids[2:], start=2):
        add_trials(database, study_id, 1000, share, seed=1000 + number)
    settle(database)


async def _read_in_turns(benches: Sequence[Bench], filled: str) -> None:
    """Read the same from each service, one after the other."""
    lines_ = {bench.service.name: Line(bench.service.port, bench.service.owner_headers) for bench in benches}
    for _ in range(15):
        for bench in benches:
            for what, path in _paths(bench).items():
                answer = await lines_[bench.service.name].get(path)
                assert answer.status == 200, f"{path}: {answer.body[:200]!r}"
                bench.reads[what][filled].append(answer.seconds)
    for line in lines_.values():
        line.close()


def _paths(bench: Bench) -> Mapping[str, str]:
    with bench.service.database.read() as session:
        is_full = session.get_one(StudyRow, bench.studies[LONG]).trials_counted > 0
    named = "&".join(f"objectives={name}" for name in METRICS)
    paths = {
        "list of studies": "/studies?limit=50",
        "trials of a study of 100": f"/studies/{SHORT}/trials?limit=50",
        "front of 100 trials": f"/studies/{SHORT}/front?{named}",
        "list of devices": "/devices",
    }
    if is_full:
        paths |= {
            f"trials of a study of {LARGE_FRONT}": f"/studies/{LONG}/trials?limit=50",
            f"front of {LARGE_FRONT} trials": f"/studies/{LONG}/front?{named}",
            f"front of {LARGE_FRONT} trials, CSV": f"/studies/{LONG}/front?{named}&format=csv",
        }
    return paths


async def _load(bench: Bench, options: argparse.Namespace, rate: float, plan: Mapping[str, Any]) -> None:
    """Let every device measure for a while; each job makes two requests, and counts from when all have their first."""
    service, ids = bench.service, list(bench.studies.values())
    busy_s = options.devices / (rate / 2)
    each = 3 + round(options.seconds / busy_s)
    add_jobs(service.database, [device.device_id for device in bench.devices], ids, each, plan)
    settle(service.database)
    load, until = Load(), asyncio.Event()
    serving = [asyncio.create_task(device.serve(busy_s, until, load)) for device in bench.devices]
    await asyncio.sleep(busy_s)
    load.begin_anew()
    reader = asyncio.create_task(_read_meanwhile(bench, until))
    database_before_s, database_bytes = service.database_seconds(), 0
    more_before_s = sum(processor_seconds(pid) for pid, _ in service.more)
    with watched(service.pid) as usage:
        await asyncio.sleep(options.seconds)
        database_bytes = service.database_bytes()
        until.set()
        done, late = await asyncio.wait(serving, timeout=60)
    await reader
    load.troubles += [repr(task.exception()) for task in done if task.exception()]
    load.troubles += [f"{len(late)} devices were never answered"] if late else []
    for device in bench.devices:
        device.line.close()
    database_s = service.database_seconds() - database_before_s
    usage.processor_s += sum(processor_seconds(pid) for pid, _ in service.more) - more_before_s
    bench.rounds.append(Round(rate, options.seconds, load, usage, database_s, database_bytes))


async def _read_meanwhile(bench: Bench, until: asyncio.Event) -> None:
    line = Line(bench.service.port, bench.service.owner_headers)
    while not until.is_set():
        for what, path in _paths(bench).items():
            answer = await line.get(path)
            assert answer.status == 200, answer.body[:200]
            bench.reads[what]["under load"].append(answer.seconds)
            await asyncio.sleep(0.5)
    line.close()


def _a_plan() -> Mapping[str, Any]:
    """A plan as a study's candidate gets, as large as those are."""
    study = read_study(study_document("plan", 0, 1, "local"))
    space = Parametrisation.of(study.space, study.budget)
    architecture = space.decode(random_parameters(space.dimensions, np.random.default_rng(0)))
    lowered = lower_model("candidate", architecture, study.precision, study.workload)
    calibration = Calibration("simulated", SentinelReference(200.0, 5.0))
    return to_dict(
        candidate_plan(architecture, lowered, Conditions(study.workload, study.precision), calibration)
    )


def _load_table(benches: Sequence[Bench], options: argparse.Namespace) -> list[str]:
    rows = [
        [
            f"{bench.service.name}, {each.rate:g}/s",
            f"{len(each.load.lease_s) / each.seconds:.0f}",
            f"{len(each.load.result_s) / each.seconds:.0f}",
            *(_ms(each.load.lease_s, share) for share in (50, 99)),
            *(_ms(each.load.result_s, share) for share in (50, 99)),
            f"{1e3 * each.usage.processor_s / max(1, each.requests):.1f}",
            f"{1e3 * each.database_s / max(1, each.requests):.1f}" if each.database_bytes else "",
            f"{each.usage.processor_s / each.usage.wall_s:.2f}",
            f"{each.usage.pss_bytes / 1e6:.0f}",
            f"{each.database_bytes / 1e6:.0f}" if each.database_bytes else "",
            str(len(each.load.troubles)),
        ]
        for rate in options.rate
        for bench in benches
        for each in bench.rounds
        if each.rate == rate
    ]
    head = [
        "asked for",
        "leases/s",
        "results/s",
        "lease p50",
        "p99",
        "result p50",
        "p99",
        "processor",
        "db",
        "cores",
        "MB",
        "db MB",
        "troubles",
    ]
    troubles = [
        f"  {bench.service.name}: {told}"
        for bench in benches
        for each in bench.rounds
        for told in each.load.troubles[:3]
    ]
    title = (
        f"{options.devices} simulated devices, {options.studies} studies, {options.trials} trials; "
        f"{f'{options.cores} cores for service and database; ' if options.cores else ''}ms; "
        "processor and db: what a request costs the service and the database"
    )
    return lines(title, head, rows, [AIMS, *troubles])


def _read_table(benches: Sequence[Bench]) -> list[str]:
    columns = list(
        dict.fromkeys(column for bench in benches for found in bench.reads.values() for column in found)
    )
    rows = [
        [
            f"{what}, {bench.service.name}",
            *(f"{_ms(found[each], 50)} / {_ms(found[each], 99)}" for each in columns),
        ]
        for what in benches[-1].reads
        for bench in benches
        for found in [bench.reads[what]]
    ]
    return lines("reading, p50 / p99 in ms, with so many trials stored", ["", *columns], rows)


def _ms(seconds: Sequence[float], share: float) -> str:
    if not seconds:
        return "-"
    return f"{1e3 * (median(seconds) if share == 50 else float(np.percentile(seconds, share))):.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench-service", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument(
        "--rate",
        type=float,
        nargs="+",
        default=[100.0, 200.0],
        help="requests per second: leases and results",
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of each round")
    parser.add_argument("--processes", type=int, default=2, help="that answer, on PostgreSQL")
    parser.add_argument("--cores", type=int, help="of services and databases; the load takes the others")
    parser.add_argument("--rounds", type=int, default=3, help="on each database, in turns")
    return parser.parse_args()


if __name__ == "__main__":
    main()
