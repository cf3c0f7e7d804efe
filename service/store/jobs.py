"""Measurement jobs: created once, leased under growing tokens, answered once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from devices.service_link import LEASES_PER_DEVICE
from service import leases
from service.errors import NotFound, ResultRefused
from service.leases import CANCELLED, DONE, LEASED, WAITING
from service.store.agents import Devices
from service.store.database import database_now
from service.store.events import JOB, event_told
from service.store.identifiers import new_id
from service.store.job_waiters import IS_ABANDONED
from service.store.lease_statements import (
    ASKED,
    END_ATTEMPT,
    EXTEND,
    EXTEND_IF_HELD,
    FINISH,
    GRANT,
    IS_DUE,
    LOCK_DEVICE_OF_JOB,
    LOCK_IDLE_DEVICE,
    LOCK_JOB,
    NEXT_JOB,
    NOTE_DETAIL,
    PUT_BACK,
    STANDING,
    STORE,
    Asked,
    Grant,
    LockedDevice,
    LockedJob,
    Standing,
)
from service.store.measurements import answered_key
from service.store.rows import (
    AgentRow,
    AttemptRow,
    DeviceRow,
    EvidenceRow,
    JobRow,
    StationRow,
)
from service.store.shares import Shares, sharer_of
from service.store.stations import READY

PAUSED = "paused"
"""How an attempt ended whose device a user paused."""

_TOLD = ("kind", "reason", "log")
"""What is told of a refused result; its samples lie in their blob."""

NEVER_GRANTED = "this token was never granted for this job"
_REFUSALS = {
    "superseded": "the job was granted again under a newer token",
    "already-stored": "a result of this job is stored already",
    "never-granted": NEVER_GRANTED,
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
            raise _no_job(job_id)
        return row

    def create(self, draft: JobDraft) -> JobRow:
        """Put a job on its device's list."""
        now = database_now(self.session)
        Shares(self.session).join(draft.device_id, sharer_of(draft.study_id))
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

    def lease(self, agent_id: str, device_ids: Sequence[str], lease_seconds: float) -> Grant | None:
        """Grant the next job of one of these devices under a new token, or nothing where as many as allowed run."""
        now = database_now(self.session)
        if len(device_ids) > 1:  # one look at all of them is less than one at each
            with_work = self.devices_with_work(device_ids, lease_seconds)
            device_ids = [each for each in device_ids if each in with_work]
        for device_id in device_ids:
            device = self._own(agent_id, device_id)
            if device is None and self._take_over(agent_id, device_id, now):
                device = self._own(agent_id, device_id)
            if device is not None and self._has_room(agent_id, device, now, lease_seconds):
                grant = self._grant_next(device, now, lease_seconds)
                if grant is not None:
                    return grant
        return None

    def heartbeat(self, job_id: str, token: int, lease_seconds: float) -> datetime:
        """Extend the lease; ResultRefused when a newer token was granted or the job has ended."""
        self._metered(job_id)
        self._require_lease(self.standing(job_id, token), token)
        until = leases.expiry(database_now(self.session), lease_seconds)
        self.session.execute(EXTEND, {"of_job": job_id, "until": until})
        return until

    def keep_alive(self, agent_id: str, held: Collection[tuple[str, int]], lease_seconds: float) -> None:
        """Extend an agent's leases by job and token, also ones that had expired; one that is over stays so."""
        until = leases.expiry(database_now(self.session), lease_seconds)
        for job_id, token in sorted(held):
            extended = {"of_job": job_id, "of_token": token, "by_agent": agent_id, "until": until}
            self.session.execute(EXTEND_IF_HELD, extended)

    def standing(self, job_id: str, token: int) -> Standing:
        """Say how a job stands, and whom a token was granted to."""
        row = self.session.execute(STANDING, {"of_job": job_id, "of_token": token}).first()
        if row is None:
            raise _no_job(job_id)
        return Standing._make(row)

    def lease_without_extension(
        self, standing: Standing, token: int, lease_seconds: float
    ) -> datetime | None:
        """Say when a lease ends that lives long enough without being written; refuses as `heartbeat` does."""
        self._require_lease(standing, token)
        until = standing.lease_expires_at
        return None if leases.needs_extension(until, database_now(self.session), lease_seconds) else until

    def release(self, job_id: str, token: int, reason: str) -> None:
        """Give a job back unmeasured; a lease that is over already is left as it is."""
        device, job = self._metered(job_id)
        if leases.holds_lease(token, job.token, job.state == LEASED):
            self._give_back(device, job, "released", reason)
            self.cancel_abandoned()

    def take_back(self, device_id: str, ended_by: str, reason: str) -> None:
        """End what is being measured on a device without counting it as an attempt that failed.

        Its agent hears of it with the next heartbeat; a result that was finished before then still counts.
        """
        device = Shares(self.session).lock(device_id)
        for job in Shares(self.session).meter(device):
            self._give_back(device, job, ended_by, reason)
        self.cancel_abandoned()

    def under_lease(self, device_ids: Collection[str]) -> dict[str, JobRow]:
        """Find a job that is being measured on each of these devices, by device."""
        query = select(JobRow).where(JobRow.device_id.in_(device_ids), JobRow.state == LEASED)
        rows = self.session.scalars(query.order_by(JobRow.created_at.desc()))
        return {row.device_id: row for row in rows}

    def end_leases_of(self, agent_id: str) -> None:
        """Let the leases of an agent that started anew end now: nobody is measuring under them."""
        for job in self._locked_leases(JobRow.agent_id == agent_id):
            if job.agent_id == agent_id:
                self.session.execute(EXTEND, {"of_job": job.id, "until": database_now(self.session)})

    def asked(self, job_id: str, token: int) -> Asked:
        """Say whom a token was granted to, and what the job's result must answer."""
        row = self.session.execute(ASKED, {"of_job": job_id, "of_token": token}).first()
        if row is None:
            raise _no_job(job_id)
        return Asked(*row)

    def report(
        self, job_id: str, token: int, outcome: Mapping[str, Any], samples: str | None = None
    ) -> str | None:
        """Store a result if the rules allow; ResultRefused otherwise (the caller keeps the evidence).

        `samples` is the blob that holds a measurement. Returns the measurement's id, None where it is tried again.
        """
        device, job = self._metered(job_id)
        is_under_way = leases.holds_lease(token, job.token, job.state == LEASED)  # as nearly always
        has_result = not is_under_way and self.standing(job_id, token).ended_by == "result"
        verdict = leases.judge_result(token, job.token, has_result, job.state == DONE)
        if verdict != "store":
            raise ResultRefused(_REFUSALS[verdict], field="token", code=verdict)
        return self._store(device, job, outcome, samples)

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
        waiting = select(JobRow.device_id).where(on_lists, JobRow.state == WAITING, IS_DUE)
        leased = select(JobRow.device_id, JobRow.lease_expires_at).where(on_lists, JobRow.state == LEASED)
        left = {
            device_id
            for device_id, expires_at in self.session.execute(leased)
            if leases.is_grantable(expires_at, now, lease_seconds)
        }
        return left | set(self.session.scalars(waiting.distinct(), due_at(now)))

    def cancel_abandoned(self, device_id: str | None = None) -> None:
        """Take jobs off the lists, or off one device's, that nobody waits for any more.

        One that is being measured may still report.
        """
        # By device, as the index begins with it: without it every job's plan would be read through.
        devices = select(DeviceRow.id) if device_id is None else [device_id]
        on_lists = and_(JobRow.device_id.in_(devices), JobRow.state == WAITING)
        query = select(JobRow).where(on_lists, IS_ABANDONED).order_by(JobRow.id).with_for_update(of=JobRow)
        for job in self.session.scalars(query):
            job.state = CANCELLED
            job.finished_at = database_now(self.session)
        self.session.flush()

    def drop(self, study_id: str) -> None:
        """Take a study's jobs away for good, also from who is measuring one, unless another study waits for it."""
        self._locked_leases(JobRow.study_id == study_id)
        wanted = and_(JobRow.study_id == study_id, JobRow.state.in_((WAITING, LEASED)), IS_ABANDONED)
        rows = self.session.scalars(
            select(JobRow).where(wanted).order_by(JobRow.id).with_for_update(of=JobRow)
        )
        now = database_now(self.session)
        for job in rows.all():
            job.state, job.lease_expires_at, job.finished_at = CANCELLED, None, now
            attempt = self.attempt(job.id, job.token)
            if attempt is not None and not attempt.ended_by:
                attempt.ended_at, attempt.ended_by, attempt.reason = now, CANCELLED, "its study was deleted"
        self.session.flush()

    def _locked_leases(self, which: ColumnElement[bool]) -> Sequence[LockedJob]:
        """Lock every device that has such a job under lease, and all leases there; devices before jobs, each by id."""
        busy = select(JobRow.device_id).where(which, JobRow.state == LEASED)
        shares = Shares(self.session)
        return [
            job
            for device_id in sorted(set(self.session.scalars(busy)))
            for job in shares.meter(shares.lock(device_id))
        ]

    def _own(self, agent_id: str, device_id: str) -> LockedDevice | None:
        """Lock an agent's device that may be measured; None while another process has it locked."""
        # Locking the device first makes the number of leases hold on PostgreSQL too, whoever asks.
        row = self.session.execute(LOCK_IDLE_DEVICE, {"of_device": device_id, "of_agent": agent_id}).first()
        return LockedDevice(*row) if row is not None else None

    def _has_room(self, agent_id: str, device: LockedDevice, now: datetime, lease_seconds: float) -> bool:
        """Tell whether another job may be granted; leases that have expired end here."""
        live = 0
        for job in Shares(self.session).meter(device):
            if leases.is_grantable(job.lease_expires_at, now, lease_seconds):
                self._expire(device, job, now)
            elif job.agent_id == agent_id:
                live += 1
            else:
                return False
        return live < LEASES_PER_DEVICE

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

    def _grant_next(self, device: LockedDevice, now: datetime, lease_seconds: float) -> Grant | None:
        wanted = {"of_device": device.id, **due_at(now)}
        while (found := self.session.execute(NEXT_JOB, wanted).first()) is not None and found.is_abandoned:
            self.cancel_abandoned(device.id)
        if found is None:
            return None
        token = found.token + 1
        granted = {
            "of_job": found.id,
            "of_device": device.id,
            "new_token": token,
            "to_agent": device.agent_id,
            "until": leases.expiry(now, lease_seconds),
            "attempt": new_id("attempt"),
            "at_time": now,
            **_told(device, found.id, found.study_id, found.purpose, "leased"),
        }
        plan = GRANT.execute(self.session, granted)
        return Grant(found.id, device.id, found.study_id, token, plan)

    def _metered(self, job_id: str) -> tuple[LockedDevice, LockedJob]:
        """Lock a job and its device, and count the device's time so far, before what is under lease there changes."""
        row = self.session.execute(LOCK_DEVICE_OF_JOB, {"of_job": job_id}).first()
        if row is None:
            raise _no_job(job_id)
        device = LockedDevice(*row)
        leased = {job.id: job for job in Shares(self.session).meter(device)}
        if job_id in leased:
            return device, leased[job_id]
        return device, LockedJob(*self.session.execute(LOCK_JOB, {"of_job": job_id}).one())

    def _expire(self, device: LockedDevice, job: LockedJob, now: datetime) -> None:
        ended = _ended(device, job, now, "expired", "the lease expired without a report")
        END_ATTEMPT.execute(self.session, ended)
        self._put_back(job, now)
        expired = self._count_attempts(job.id, "expired")
        if expired >= leases.MAXIMUM_EXPIRIES:
            words = f"the lease expired {expired} times without a report"
            given_up = {"of_job": job.id, "at_time": now, "new_outcome": "device_lost", "new_reason": words}
            self.session.execute(FINISH, {**given_up, "measurement": None})

    def _store(
        self, device: LockedDevice, job: LockedJob, outcome: Mapping[str, Any], samples: str | None
    ) -> str | None:
        kind, reason = str(outcome["kind"]), str(outcome.get("reason", ""))
        now = database_now(self.session)
        ended = _ended(device, job, now, "result", reason, kind, str(outcome.get("log", "")))
        is_quarantined = outcome.get("of_device", True) and Devices(self.session).count_outcome(
            device, kind, reason, job.id
        )
        reported = 1 + (self._count_attempts(job.id, "result") if job.token > 1 else 0)
        step = leases.next_step(kind, reported, is_quarantined)
        if isinstance(step, leases.RetryAfter):
            END_ATTEMPT.execute(self.session, ended)
            self._put_back(job, now + timedelta(seconds=step.delay_s))
            self.session.execute(NOTE_DETAIL, {"of_job": job.id, "words": reason})
            return None
        measurement_id = new_id("measurement")
        answer = {
            "of_device": device.id,
            "measurement": measurement_id,
            "key": answered_key(job, kind),
            "told": None if samples else dict(outcome),
            "samples": samples,
        }
        STORE.execute(self.session, {**ended, **answer})
        return measurement_id

    def _require_lease(self, standing: Standing, token: int) -> None:
        if leases.holds_lease(token, standing.token, standing.state == LEASED):
            return
        is_paused = standing.ended_by == PAUSED
        raise ResultRefused(
            standing.reason if is_paused and standing.reason else "this lease is over",
            field="token",
            hint="stop this measurement",
            code=PAUSED if is_paused else "",
        )

    def _give_back(self, device: LockedDevice, job: LockedJob, ended_by: str, reason: str) -> None:
        now = database_now(self.session)
        END_ATTEMPT.execute(self.session, _ended(device, job, now, ended_by, reason))
        self._put_back(job, now)

    def _put_back(self, job: LockedJob, not_before: datetime) -> None:
        self.session.execute(PUT_BACK, {"of_job": job.id, "until": not_before})

    def attempt(self, job_id: str, token: int) -> AttemptRow | None:
        """Find the attempt that was granted under a token."""
        query = select(AttemptRow).where(AttemptRow.job_id == job_id, AttemptRow.token == token)
        return self.session.scalar(query)

    def _count_attempts(self, job_id: str, ended_by: str) -> int:
        query = select(func.count()).where(AttemptRow.job_id == job_id, AttemptRow.ended_by == ended_by)
        return self.session.scalar(query) or 0


def due_at(now: datetime) -> dict[str, datetime]:
    """Give what `IS_DUE` asks for."""
    return {"now": now, "latest_start": leases.latest_start(now)}


def _ended(
    device: LockedDevice,
    job: LockedJob,
    now: datetime,
    ended_by: str,
    reason: str,
    outcome: str = "",
    log: str = "",
) -> dict[str, Any]:
    """Give what the statements that end an attempt ask for."""
    attempt = {"of_job": job.id, "of_token": job.token, "new_ended_by": ended_by, "new_outcome": outcome}
    told = _told(device, job.id, job.study_id, job.purpose, ended_by, outcome)
    return {**attempt, "new_reason": reason, "new_log": log, "at_time": now, **told}


def _told(
    device: LockedDevice,
    job_id: str,
    study_id: str | None,
    purpose: str,
    change: str,
    outcome: str = "",
) -> dict[str, Any]:
    """Give what tells those who watch what became of a job, or of an attempt at it."""
    words = {"device": device.name, "purpose": purpose, "change": change, "outcome": outcome}
    return event_told(JOB, study_id, job=job_id, **words)


def _no_job(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id!r}", field="job_id", hint="a trial names the jobs it waits for")
