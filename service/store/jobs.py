"""Measurement jobs: created once, leased under growing tokens, answered once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, defer

from devices.service_link import LEASES_PER_DEVICE
from service import leases
from service.errors import NotFound, ResultRefused
from service.store.agents import Devices
from service.store.database import database_now
from service.store.events import JOB, Events
from service.store.identifiers import new_id
from service.store.job_waiters import IS_ABANDONED
from service.store.measurements import Measurements
from service.store.rows import (
    AgentRow,
    AttemptRow,
    DeviceRow,
    EvidenceRow,
    JobRow,
    MeasurementRow,
    StationRow,
)
from service.store.shares import SINGLE, Shares, priority_of_study, standing
from service.store.stations import READY

WAITING, LEASED, DONE, CANCELLED = "waiting", "leased", "done", "cancelled"
PAUSED = "paused"
"""How an attempt ended whose device a user paused."""

_TOLD = ("kind", "reason", "log")
"""What is told of a refused result; its samples lie in their blob."""

_REFUSALS = {
    "superseded": "the job was granted again under a newer token",
    "already-stored": "a result of this job is stored already",
    "never-granted": "this token was never granted for this job",
}


@dataclass(frozen=True)
class JobDraft:
    """What a new job is to measure, where and why."""

    device_id: str
    study_id: str | None
    purpose: str
    cache_key: str
    plan: Mapping[str, Any]
    priority: int = 0
    bypasses_cache: bool = False


class Jobs:
    """Queries about jobs, and the lease transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, job_id: str) -> JobRow:
        """Read one job."""
        row = self.session.get(JobRow, job_id)
        if row is None:
            raise NotFound(
                f"there is no job {job_id!r}", field="job_id", hint="a trial names the jobs it waits for"
            )
        return row

    def create(self, draft: JobDraft) -> JobRow:
        """Put a job on its device's list."""
        now = database_now(self.session)
        Shares(self.session).join(draft.device_id, draft.study_id or SINGLE)
        row = JobRow(
            id=new_id("job"),
            device_id=draft.device_id,
            study_id=draft.study_id,
            purpose=draft.purpose,
            cache_key=draft.cache_key,
            bypasses_cache=draft.bypasses_cache,
            plan=dict(draft.plan),
            priority=draft.priority,
            state=WAITING,
            token=0,
            not_before=now,
            created_at=now,
            outcome="",
            detail="",
        )
        self.session.add(row)
        self.session.flush()
        return row

    def open_with_key(self, cache_key: str) -> JobRow | None:
        """Find a job under way whose measurement will answer `cache_key`."""
        query = select(JobRow).where(
            JobRow.cache_key == cache_key,
            JobRow.state.in_((WAITING, LEASED)),
            JobRow.bypasses_cache.is_(False),
        )
        return self.session.scalar(query.limit(1))

    def latest_with_key(self, cache_key: str) -> JobRow | None:
        """Find the newest job that was to answer `cache_key`, whatever became of it."""
        query = select(JobRow).where(
            JobRow.cache_key == cache_key, JobRow.state != CANCELLED, JobRow.bypasses_cache.is_(False)
        )
        return self.session.scalar(query.order_by(JobRow.created_at.desc()).limit(1))

    def attempts(self, job_id: str) -> Sequence[AttemptRow]:
        """List a job's attempts in the order of their tokens."""
        query = select(AttemptRow).where(AttemptRow.job_id == job_id).order_by(AttemptRow.token)
        return self.session.scalars(query).all()

    def measuring_spans(self, study_id: str) -> Sequence[tuple[datetime, datetime | None]]:
        """List from when to when a study's jobs were measured; open at the end while one still is."""
        # Nobody knows when an attempt ended whose lease expired: it may have been with the service, a night before.
        query = (
            select(AttemptRow.granted_at, AttemptRow.ended_at)
            .join(JobRow, JobRow.id == AttemptRow.job_id)
            .where(JobRow.study_id == study_id, AttemptRow.ended_by != "expired")
        )
        return [(granted_at, ended_at) for granted_at, ended_at in self.session.execute(query)]

    def lease(self, agent_id: str, device_ids: Sequence[str], lease_seconds: float) -> JobRow | None:
        """Grant the next job of one of these devices under a new token, or nothing where as many as allowed run."""
        now = database_now(self.session)
        for device_id in device_ids:
            device = self._own(agent_id, device_id)
            if device is None and self._take_over(agent_id, device_id, now):
                device = self._own(agent_id, device_id)
            job = self._next_job(agent_id, device, now, lease_seconds) if device is not None else None
            if job is not None:
                self._grant(job, agent_id, now, lease_seconds)
                return job
        return None

    def heartbeat(self, job_id: str, token: int, lease_seconds: float) -> datetime:
        """Extend the lease; ResultRefused when a newer token was granted or the job has ended."""
        self._metered(self.get(job_id).device_id)
        job = self._locked(job_id)
        self._require_lease(job, token)
        job.lease_expires_at = leases.expiry(database_now(self.session), lease_seconds)
        return job.lease_expires_at

    def keep_alive(self, job_id: str, token: int, lease_seconds: float) -> None:
        """Extend a lease that is worked under, also one that had expired; one that is over stays so."""
        job = self.session.get(JobRow, job_id)
        if job is not None and leases.holds_lease(token, job.token, job.state == LEASED):
            job.lease_expires_at = leases.expiry(database_now(self.session), lease_seconds)

    def lease_without_extension(self, job_id: str, token: int, lease_seconds: float) -> datetime | None:
        """Say when a lease ends that lives long enough without being written; refuses as `heartbeat` does."""
        job = self.get(job_id)
        self._require_lease(job, token)
        is_short = leases.needs_extension(job.lease_expires_at, database_now(self.session), lease_seconds)
        return None if is_short else job.lease_expires_at

    def release(self, job_id: str, token: int, reason: str) -> None:
        """Give a job back unmeasured; a lease that is over already is left as it is."""
        self._metered(self.get(job_id).device_id)
        job = self._locked(job_id)
        if not leases.holds_lease(token, job.token, job.state == LEASED):
            return
        self._end_attempt(job_id, token, "released", "", reason, "")
        self._back_to_waiting(job, database_now(self.session))
        self.cancel_abandoned()

    def take_back(self, device_id: str, ended_by: str, reason: str) -> None:
        """End what is being measured on a device without counting it as an attempt that failed.

        Its agent hears of it with the next heartbeat; a result that was finished before then still counts.
        """
        self._metered(device_id)
        leased = select(JobRow).where(JobRow.device_id == device_id, JobRow.state == LEASED)
        for job in self.session.scalars(leased.with_for_update()):
            self._end_attempt(job.id, job.token, ended_by, "", reason, "")
            self._back_to_waiting(job, database_now(self.session))
        self.cancel_abandoned()

    def under_lease(self, device_ids: Collection[str]) -> dict[str, JobRow]:
        """Find a job that is being measured on each of these devices, by device, without its plan."""
        query = select(JobRow).where(JobRow.device_id.in_(device_ids), JobRow.state == LEASED)
        rows = self.session.scalars(query.options(defer(JobRow.plan)).order_by(JobRow.created_at.desc()))
        return {row.device_id: row for row in rows}

    def end_leases_of(self, agent_id: str) -> None:
        """Let the leases of an agent that started anew end now: nobody is measuring under them."""
        now = database_now(self.session)
        for job in self.session.scalars(
            select(JobRow).where(JobRow.agent_id == agent_id, JobRow.state == LEASED)
        ):
            job.lease_expires_at = now

    def report(
        self, job_id: str, token: int, outcome: Mapping[str, Any], samples: str | None = None
    ) -> MeasurementRow | None:
        """Store a result if the rules allow; ResultRefused otherwise (the caller keeps the evidence).

        `samples` is the blob that holds a measurement.
        """
        self._metered(self.get(job_id).device_id)
        job = self._locked(job_id)
        attempt = self.attempt(job_id, token)
        has_result = attempt is not None and attempt.ended_by == "result"
        verdict = leases.judge_result(token, job.token, has_result, job.state == DONE)
        if verdict != "store":
            raise ResultRefused(_REFUSALS[verdict], field="token", code=verdict)
        return self._store(job, token, outcome, samples)

    def keep_evidence(
        self, job_id: str, token: int, code: str, outcome: Mapping[str, Any], samples: str | None = None
    ) -> None:
        """Keep a refused result whole."""
        now = database_now(self.session)
        row = EvidenceRow(
            id=new_id("evidence"),
            job_id=job_id,
            token=token,
            code=code,
            outcome={key: outcome[key] for key in _TOLD if key in outcome} if samples else dict(outcome),
            samples=samples,
            created_at=now,
        )
        self.session.add(row)

    def evidence(self, job_id: str) -> Sequence[EvidenceRow]:
        """List what was refused for a job."""
        query = select(EvidenceRow).where(EvidenceRow.job_id == job_id).order_by(EvidenceRow.created_at)
        return self.session.scalars(query).all()

    def devices_with_work(self, device_ids: Collection[str], lease_seconds: float) -> set[str]:
        """Find which of these devices a job may be granted for, if there is room; reads only."""
        now = database_now(self.session)
        on_lists = JobRow.device_id.in_(device_ids)
        waiting = select(JobRow.device_id).where(on_lists, JobRow.state == WAITING, _is_due(now))
        leased = select(JobRow.device_id, JobRow.lease_expires_at).where(on_lists, JobRow.state == LEASED)
        left = {
            device_id
            for device_id, expires_at in self.session.execute(leased)
            if leases.is_grantable(expires_at, now, lease_seconds)
        }
        return left | set(self.session.scalars(waiting.distinct()))

    def cancel_abandoned(self, device_id: str | None = None) -> None:
        """Take jobs off the lists, or off one device's, that nobody waits for any more.

        One that is being measured may still report.
        """
        # By device, as the index begins with it: without it every job's plan would be read through.
        devices = select(DeviceRow.id) if device_id is None else [device_id]
        on_lists = and_(JobRow.device_id.in_(devices), JobRow.state == WAITING)
        query = select(JobRow).where(on_lists, IS_ABANDONED).with_for_update(of=JobRow)
        for job in self.session.scalars(query):
            job.state = CANCELLED
            job.finished_at = database_now(self.session)

    def _own(self, agent_id: str, device_id: str) -> DeviceRow | None:
        """Lock an agent's device that may be measured; None while another process has it locked."""
        # Locking the device first makes the number of leases hold on PostgreSQL too, whoever asks.
        owned = select(DeviceRow).where(
            DeviceRow.id == device_id,
            DeviceRow.agent_id == agent_id,
            DeviceRow.paused_at.is_(None),
            DeviceRow.quarantined_at.is_(None),
        )
        return self.session.scalar(owned.with_for_update(skip_locked=True))

    def _next_job(
        self, agent_id: str, device: DeviceRow, now: datetime, lease_seconds: float
    ) -> JobRow | None:
        live = 0
        for job in Shares(self.session).meter(device):
            if leases.is_grantable(job.lease_expires_at, now, lease_seconds):
                self._expire(job, now)
            elif job.agent_id == agent_id:
                live += 1
            else:
                return None
        if live >= LEASES_PER_DEVICE:
            return None
        self.cancel_abandoned(device.id)
        return self._first_waiting(device.id, now)

    def _take_over(self, agent_id: str, device_id: str, now: datetime) -> bool:
        """Give a device whose agent is gone to another one that has it open; tell whether that was done."""
        device = self.session.get(DeviceRow, device_id)
        if device is None or device.agent_id == agent_id:
            return False
        owner = self.session.get_one(AgentRow, device.agent_id)
        has_it_open = select(StationRow.name).where(
            StationRow.agent_id == agent_id,
            StationRow.identity == device.identity,
            StationRow.state == READY,
        )
        if not leases.is_gone(owner.last_seen_at, now) or self.session.scalar(has_it_open.limit(1)) is None:
            return False
        device.agent_id = agent_id
        self.session.flush()
        return True

    def _first_waiting(self, device_id: str, now: datetime) -> JobRow | None:
        query = (
            select(JobRow)
            .where(JobRow.device_id == device_id, JobRow.state == WAITING, _is_due(now))
            .order_by(
                JobRow.priority.desc(),
                priority_of_study().desc(),
                standing(device_id),
                JobRow.created_at,
                JobRow.id,
            )
            .limit(1)
            .with_for_update(of=JobRow, skip_locked=True)
        )
        return self.session.scalar(query)

    def _metered(self, device_id: str) -> DeviceRow:
        """Lock a device and count its time so far, before what is under lease there changes."""
        device = Devices(self.session).locked(device_id)
        Shares(self.session).meter(device)
        return device

    def _expire(self, job: JobRow, now: datetime) -> None:
        self._end_attempt(job.id, job.token, "expired", "", "the lease expired without a report", "")
        self._back_to_waiting(job, now)
        expired = self._count_attempts(job.id, "expired")
        if expired >= leases.MAXIMUM_EXPIRIES:
            self._finish(job, "device_lost", f"the lease expired {expired} times without a report")
        self.session.flush()

    def _grant(self, job: JobRow, agent_id: str, now: datetime, lease_seconds: float) -> None:
        job.state = LEASED
        job.token += 1
        job.agent_id = agent_id
        job.lease_expires_at = leases.expiry(now, lease_seconds)
        self.session.add(
            AttemptRow(
                id=new_id("attempt"),
                job_id=job.id,
                token=job.token,
                agent_id=agent_id,
                granted_at=now,
                ended_by="",
                outcome="",
                reason="",
                log="",
                device_seconds=0.0,
            )
        )
        self.session.flush()
        self._tell(job, "leased")

    def _store(
        self, job: JobRow, token: int, outcome: Mapping[str, Any], samples: str | None
    ) -> MeasurementRow | None:
        kind = str(outcome["kind"])
        reason, log = str(outcome.get("reason", "")), str(outcome.get("log", ""))
        self._end_attempt(job.id, token, "result", kind, reason, log)
        is_quarantined = outcome.get("of_device", True) and Devices(self.session).count_outcome(
            job.device_id, kind, reason, job.id
        )
        step = leases.next_step(kind, self._count_attempts(job.id, "result"), is_quarantined)
        if isinstance(step, leases.RetryAfter):
            job.detail = reason
            self._back_to_waiting(job, database_now(self.session) + timedelta(seconds=step.delay_s))
            return None
        measurement = Measurements(self.session).add(job, kind, outcome, samples)
        job.measurement_id = measurement.id
        self._finish(job, kind, reason)
        return measurement

    def _finish(self, job: JobRow, kind: str, detail: str) -> None:
        job.state = DONE
        job.outcome = kind
        job.detail = detail
        job.lease_expires_at = None
        job.finished_at = database_now(self.session)

    def _require_lease(self, job: JobRow, token: int) -> None:
        if leases.holds_lease(token, job.token, job.state == LEASED):
            return
        attempt = self.attempt(job.id, token)
        is_paused = attempt is not None and attempt.ended_by == PAUSED
        raise ResultRefused(
            attempt.reason if attempt is not None and is_paused else "this lease is over",
            field="token",
            hint="stop this measurement",
            code=PAUSED if is_paused else "",
        )

    def _back_to_waiting(self, job: JobRow, not_before: datetime) -> None:
        job.state = WAITING
        job.lease_expires_at = None
        job.not_before = not_before

    def _end_attempt(
        self, job_id: str, token: int, ended_by: str, outcome: str, reason: str, log: str
    ) -> None:
        attempt = self.attempt(job_id, token)
        assert attempt is not None, "every token has its attempt"
        attempt.ended_at = database_now(self.session)
        attempt.ended_by = ended_by
        attempt.outcome = outcome
        attempt.reason = reason
        attempt.log = log
        self.session.flush()
        self._tell(self.get(job_id), ended_by, outcome)

    def _tell(self, job: JobRow, change: str, outcome: str = "") -> None:
        """Tell those who watch what became of a job, or of an attempt at it."""
        device = Devices(self.session).get(job.device_id).name
        told = {"device": device, "purpose": job.purpose, "change": change, "outcome": outcome}
        Events(self.session).add(JOB, job.study_id, job=job.id, **told)

    def attempt(self, job_id: str, token: int) -> AttemptRow | None:
        """Find the attempt that was granted under a token."""
        query = select(AttemptRow).where(AttemptRow.job_id == job_id, AttemptRow.token == token)
        return self.session.scalar(query)

    def _count_attempts(self, job_id: str, ended_by: str) -> int:
        query = select(func.count()).where(AttemptRow.job_id == job_id, AttemptRow.ended_by == ended_by)
        return self.session.scalar(query) or 0

    def _locked(self, job_id: str) -> JobRow:
        query = select(JobRow).where(JobRow.id == job_id).with_for_update()
        row = self.session.scalar(query.execution_options(populate_existing=True))
        if row is None:
            raise NotFound(
                f"there is no job {job_id!r}", field="job_id", hint="a trial names the jobs it waits for"
            )
        return row


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(JobRow.not_before <= now, JobRow.not_before > leases.latest_start(now))
