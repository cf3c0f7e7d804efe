"""Lets one agent serve many devices, whose runner is simulated: what it costs, and that nothing gets mixed up."""

import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from devices.agent_config import HostEntry, add_entry
from devices.plan import MeasurementPlan, Protocol, Workload, to_dict
from devices.service_link import LEASES_PER_DEVICE
from service.store.jobs import JobDraft, Jobs
from service.store.rows import AttemptRow
from tests.benchmarks.fleet.processes import Service, Usage, a_service, running, watched
from tests.benchmarks.fleet.text_table import lines, percent
from tests.devices.namespaces import a_machine
from tests.devices.tiny_models import TinyModel, tiny_model

AGENT = "tests.benchmarks.fleet.simulated_agent"
DIFFERENT_CANDIDATES = 10
LONGEST_JOB_S = 25.0
PROTOCOL = Protocol("as-shipped", 2, 4, 18, 4, 5, 0.04, 60.0, None, 6)
WORKLOAD = Workload(prompt_tokens=256, context_tokens=512, generate_tokens=64)

Span = tuple[float, float]


@dataclass(frozen=True)
class Run:
    """One run of a runner, by the host's monotonic clock."""

    task: str
    started_s: float
    ended_s: float


@dataclass(frozen=True)
class Served:
    """One job as the service saw it; `leases` are all that were granted, whatever became of them."""

    job_id: str
    outcome: str
    leases: tuple[Span, ...]


@dataclass(frozen=True)
class Fleet:
    """A run of one agent: each device's jobs in the order in which they were queued, and when its runner ran."""

    served: Mapping[str, Sequence[Served]]
    runs: Mapping[str, Sequence[Run]]
    usage: Usage

    @property
    def span(self) -> Span:
        """From the first lease to the end of the last."""
        leases = [lease for jobs in self.served.values() for job in jobs for lease in job.leases]
        return min(start for start, _ in leases), max(end for _, end in leases)

    def troubles(self) -> list[str]:
        """Say in words everything that went otherwise than it must; nothing if all is well."""
        return [trouble for name, jobs in self.served.items() for trouble in _troubles(name, jobs)]

    def busy_shares(self) -> dict[str, float]:
        """Return which share of the whole time each device had a lease."""
        start, end = self.span
        return {
            name: covered_s([lease for job in jobs for lease in job.leases]) / (end - start)
            for name, jobs in self.served.items()
        }

    def runner_shares(self) -> dict[str, float]:
        """Return which share of the whole time each device's runner ran."""
        start, end = self.span
        return {
            name: sum(run.ended_s - run.started_s for run in runs) / (end - start)
            for name, runs in self.runs.items()
        }


def _troubles(name: str, jobs: Sequence[Served]) -> Iterator[str]:
    for job in jobs:
        if job.outcome != "measured":
            yield f"{name}: {job.job_id} ended as {job.outcome!r}"
        if len(job.leases) != 1:
            yield f"{name}: {job.job_id} was leased {len(job.leases)} times"
    starts = [job.leases[0][0] for job in jobs if job.leases]
    if starts != sorted(starts):
        yield f"{name}: jobs were measured in another order than they were queued"
    if (most := most_at_once([lease for job in jobs for lease in job.leases])) > LEASES_PER_DEVICE:
        yield f"{name}: {most} leases at a time"


def overlapping(spans: Sequence[Span]) -> int:
    """Count how often a span begins before the one that began before it has ended."""
    return sum(later[0] < earlier[1] for earlier, later in pairwise(sorted(spans)))


def covered_s(spans: Sequence[Span]) -> float:
    """Return how long at least one span lasts."""
    covered, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def most_at_once(spans: Sequence[Span]) -> int:
    """Return how many spans overlap where most do."""
    steps = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    return max(accumulate(step for _, step in steps), default=0)


def run_fleet(folder: Path, machines: Sequence[str], jobs: int, protocol: Protocol = PROTOCOL) -> Fleet:
    """Queue `jobs` for each device, let one agent measure them all, and gather what happened.

    There is a device for each of `machines`; those of the same name are one machine to the agent. The devices are
    namespaces with a real sshd each, which needs root.
    """
    with _hosts(folder, machines) as entries, a_service(folder / "service") as service:
        config = folder / "agent.toml"
        for entry in entries:
            add_entry(config, entry)
        arguments = [
            "-m",
            AGENT,
            "--server",
            service.url,
            "--token-file",
            str(service.token_path),
            "--folder",
            str(folder / "agent"),
            "--config",
            str(config),
        ]
        with running(arguments, folder / "agent.log") as agent:
            ids = service.wait_for_devices(len(machines))
            with watched(agent.pid) as usage:
                queued = _queue(service, ids, jobs, protocol)
                service.wait_for_jobs(jobs * len(machines), LONGEST_JOB_S)
        return Fleet(
            {name: _served(service, job_ids) for name, job_ids in queued.items()},
            {entry.name: _runs(folder / entry.name) for entry in entries},
            usage,
        )


@contextmanager
def _hosts(folder: Path, machines: Sequence[str]) -> Iterator[list[HostEntry]]:
    machine_ids = {machine: uuid.uuid4().hex for machine in machines}
    with ExitStack() as stack:
        entries = []
        for number, machine in enumerate(machines):
            name = f"simulated-{number + 1:02}"
            place = folder / name
            _, server = stack.enter_context(a_machine(place / "machine", machine_ids[machine]))
            entries.append(HostEntry(name, server.host, str(place)))
        yield entries


def _queue(service: Service, ids: Mapping[str, str], jobs: int, protocol: Protocol) -> dict[str, list[str]]:
    """Put jobs on every device's list, in turns, as studies that run side by side would."""
    sentinel = tiny_model("sentinel", seed=99)
    models = [tiny_model("candidate", seed=seed) for seed in range(DIFFERENT_CANDIDATES)]
    for model in (sentinel, *models):
        service.parts.blobs.put(model.graph)
    queued: dict[str, list[str]] = {name: [] for name in sorted(ids)}
    with service.parts.database.write() as session:
        for number in range(jobs):
            for name, job_ids in queued.items():
                plan = to_dict(_plan(models[number % len(models)], sentinel, protocol))
                draft = JobDraft(ids[name], None, "benchmark", f"{name} {number}", plan)
                job_ids.append(Jobs(session).create(draft).id)
    return queued


def _plan(candidate: TinyModel, sentinel: TinyModel, protocol: Protocol) -> MeasurementPlan:
    return MeasurementPlan(candidate.files, sentinel.files, WORKLOAD, None, protocol, None)


def _served(service: Service, job_ids: Sequence[str]) -> list[Served]:
    with service.parts.database.read() as session:
        jobs = Jobs(session)
        return [
            Served(job_id, jobs.get(job_id).outcome, tuple(map(span_of, jobs.attempts(job_id))))
            for job_id in job_ids
        ]


def span_of(attempt: AttemptRow) -> Span:
    """Return from when to when a lease was held, in seconds since 1970."""
    ended_at = attempt.ended_at or attempt.granted_at
    return attempt.granted_at.timestamp(), ended_at.timestamp()


def _runs(folder: Path) -> list[Run]:
    text = (folder / "simulated-runs.jsonl").read_text()
    return [Run(**json.loads(line)) for line in text.splitlines()]


def table(many: Fleet, same: Fleet) -> list[str]:
    """Return what many devices at once cost, and how two that are one machine took turns."""
    busy, ran = sorted(many.busy_shares().values()), sorted(many.runner_shares().values())
    start, end = many.span
    usage, jobs = many.usage, sum(map(len, many.served.values()))
    rows = [
        ["devices, jobs", f"{len(many.served)}, {jobs}"],
        ["wall time", f"{end - start:.1f} s"],
        ["a device has a lease, least and most", f"{percent(busy[0])}, {percent(busy[-1])}"],
        ["its runner runs, least and most", f"{percent(ran[0])}, {percent(ran[-1])}"],
        [
            "agent's processor time",
            f"{usage.processor_s:.1f} s, {percent(usage.processor_s / usage.wall_s)} of a core",
        ],
        ["per job", f"{usage.processor_s / jobs:.2f} s"],
        ["agent's memory (PSS), threads", f"{usage.pss_bytes / 1e6:.0f} MB, {usage.threads}"],
        ["runs begun beside another", str(at_a_time(many))],
        ["lost, repeated or out of order", "; ".join(many.troubles()) or "none"],
        ["two devices, one machine: runs at once", str(at_a_time(same))],
        ["their lost, repeated or out of order", "; ".join(same.troubles()) or "none"],
    ]
    return lines("one agent, real sshds in namespaces, simulated runner", ("", ""), rows)


def at_a_time(fleet: Fleet) -> int:
    """Count how often a run begins before another has ended, on this or on another device."""
    return overlapping([(run.started_s, run.ended_s) for runs in fleet.runs.values() for run in runs])
