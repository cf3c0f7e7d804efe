"""Shows where the time between lease and result goes, over SSH, with a real service and the agent's own worker."""

import shutil
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from devices.agent_config import HostEntry
from devices.device_folder import DeviceFolder
from devices.plan import MeasurementPlan, SentinelReference, to_dict
from devices.readiness import Thresholds
from devices.station import OpenStation, Station, ssh_station
from service.store.jobs import JobDraft, Jobs
from tests.benchmarks.fleet.candidates import Candidate, Candidates
from tests.benchmarks.fleet.many import Span, span_of
from tests.benchmarks.fleet.processes import Service, a_service
from tests.benchmarks.fleet.sample_folder import SampleFolder
from tests.benchmarks.fleet.serving import serve_stations
from tests.benchmarks.fleet.text_table import lines, percent
from tests.benchmarks.fleet.watched_connection import LOOK, RUNNER, Call, WatchedConnection
from tests.devices import sshd

DEVICE = "over-ssh"
AIM = "aim: all but the runner is at most 5 % of a measurement of about 10 s"
LONGEST_JOB_S = 300.0
_ANY_WIDTH = 1e9
KEY = "overhead/jobs"

STARTS, FETCH, REPORT, BETWEEN = (
    "starting runners",
    "lease to first command",
    "last command to result",
    "between",
)


@dataclass(frozen=True)
class Job:
    """One job's lease, and every use of the connection during it."""

    lease: Span
    calls: Sequence[Call]

    @property
    def wall_s(self) -> float:
        """Seconds from the lease to the stored result."""
        return self.lease[1] - self.lease[0]


def measure_overhead(
    candidates: Candidates,
    samples: SampleFolder,
    thresholds: Thresholds,
    reference: SentinelReference,
    count: int,
) -> list[Job]:
    """Have a few candidates measured through a service; one more goes first, for which pools and sentinel travel."""
    kept = samples.once(
        KEY,
        lambda: {
            "jobs": _to_lists(
                _measured(candidates, samples.folder / "overhead-run", thresholds, reference, count)
            )
        },
    )
    return [Job(tuple(lease), [Call(*call) for call in calls]) for lease, calls in kept["jobs"]]


def _to_lists(jobs: Sequence[Job]) -> list[object]:
    return [
        [job.lease, [[call.kind, call.started_s, call.ended_s, call.runner_s] for call in job.calls]]
        for job in jobs
    ]


def _measured(
    candidates: Candidates, folder: Path, thresholds: Thresholds, reference: SentinelReference, count: int
) -> list[Job]:
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped in its midst
    watched: list[WatchedConnection] = []
    with sshd.a_running_sshd(folder / "sshd") as server, a_service(folder / "service") as service:
        entry = HostEntry(DEVICE, server.host, str(folder / "device"))
        station = _watched_station(entry, ssh_station(entry, folder / "agent", thresholds), watched)
        with _serving(station, service, folder / "agent"):
            device_id = service.wait_for_devices(1)[DEVICE]
            chosen = candidates.all[: count + 1]
            job_ids: list[str] = []
            for each in chosen:  # one by one: jobs in turns would share their lease's time
                job_ids.append(_queue(service, device_id, each, candidates, reference))
                service.wait_for_jobs(len(job_ids), LONGEST_JOB_S)
        leases = [_lease(service, job_id) for job_id in job_ids]
    calls = [call for connection in watched for call in connection.calls]
    return [
        Job((start, end), [call for call in calls if start <= call.started_s and call.ended_s <= end])
        for start, end in leases[1:]
    ]


def _watched_station(entry: HostEntry, station: Station, watched: list[WatchedConnection]) -> Station:
    def open_watched() -> OpenStation:
        opened = station.open()
        connection = WatchedConnection(opened.bench.connection)
        watched.append(connection)
        folder = DeviceFolder(connection, str(entry.folder))
        return replace(opened, bench=replace(opened.bench, connection=connection, folder=folder))

    return replace(station, open=open_watched)


class _serving:
    """Serve a station from a thread of this process."""

    def __init__(self, station: Station, service: Service, folder: Path) -> None:
        self._stop = threading.Event()
        arguments = ("overhead", [station], service.url, service.token_path, folder, self._stop)
        self._thread = threading.Thread(target=serve_stations, args=arguments)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _queue(
    service: Service,
    device_id: str,
    candidate: Candidate,
    candidates: Candidates,
    reference: SentinelReference,
) -> str:
    plan = of_about_ten_seconds(candidate.calibrated(reference))
    for model in (plan.candidate, plan.sentinel):
        service.parts.blobs.put(candidates.graph(model.graph_sha256))
    with service.parts.database.write() as session:
        return Jobs(session).create(JobDraft(device_id, None, "benchmark", candidate.name, to_dict(plan))).id


def of_about_ten_seconds(plan: MeasurementPlan) -> MeasurementPlan:
    """Measure as always, but with no more processes than there must be, and half as many prefills in each."""
    protocol = plan.protocol
    fewer = max(1, protocol.prefills_per_process // 2)
    return replace(plan, protocol=replace(protocol, prefills_per_process=fewer, half_width_target=_ANY_WIDTH))


def _lease(service: Service, job_id: str) -> Span:
    with service.parts.database.read() as session:
        job = Jobs(session).get(job_id)
        if job.outcome != "measured":
            raise RuntimeError(f"a candidate wasn't measured: {job.outcome}: {job.detail}")
        return span_of(Jobs(session).attempts(job_id)[-1])


def seconds_of(job: Job) -> dict[str, float]:
    """Divide a job's whole wall time: every second of it is in exactly one of the parts."""
    found: dict[str, float] = defaultdict(float)
    for call in job.calls:
        found[call.kind] += call.runner_s if call.kind == RUNNER else call.seconds
        if call.kind == RUNNER:
            found[STARTS] += call.seconds - call.runner_s
    for before, after in pairwise(job.calls):
        # A look at the load takes two commands with a pause between them.
        is_look = before.kind == after.kind == LOOK
        found[LOOK if is_look else BETWEEN] += after.started_s - before.ended_s
    found[FETCH] = job.calls[0].started_s - job.lease[0]
    found[REPORT] = job.lease[1] - job.calls[-1].ended_s
    return dict(found)


def table(jobs: Sequence[Job]) -> list[str]:
    """Return the medians of every part, and the share of the wall time that is not the runner."""
    divided = [seconds_of(job) for job in jobs]
    parts = sorted({part for each in divided for part in each}, key=lambda part: -_median(divided, part))
    rows = [
        [part, f"{_median(divided, part):.3f}", percent(_share(jobs, divided, part)), str(_count(jobs, part))]
        for part in parts
    ]
    other = median(1 - each[RUNNER] / job.wall_s for each, job in zip(divided, jobs, strict=True))
    wall_s = median(job.wall_s for job in jobs)
    title = f"from lease to result over SSH: {wall_s:.2f} s, {percent(other)} of it not the runner"
    return lines(
        title, ("part", "seconds", "share", "commands"), rows, [f"medians of {len(jobs)} candidates; {AIM}"]
    )


def _median(divided: Sequence[Mapping[str, float]], part: str) -> float:
    return median(each.get(part, 0.0) for each in divided)


def _share(jobs: Sequence[Job], divided: Sequence[Mapping[str, float]], part: str) -> float:
    return median(each.get(part, 0.0) / job.wall_s for each, job in zip(divided, jobs, strict=True))


def _count(jobs: Sequence[Job], part: str) -> int:
    return round(median(sum(call.kind == part for call in job.calls) for job in jobs))
