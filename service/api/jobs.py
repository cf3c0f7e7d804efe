"""Measurement jobs: heartbeat, result, release and log."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from devices.errors import DeviceError
from devices.outcome import outcome_from_dict
from service.api.dependencies import ServiceParts, require_agent
from service.api.schemas import AttemptOut, Heartbeat, JobLog, JobResult, LeaseExtended, Release, Stored
from service.errors import BadInput, ResultRefused
from service.parts import Parts
from service.store.agents import Agents
from service.store.database import database_now
from service.store.jobs import Jobs

router = APIRouter(prefix="/jobs", tags=["jobs"])
from_an_agent = Depends(require_agent)
JobId = Annotated[str, Path(max_length=100)]


@router.post("/{job_id}/heartbeat", dependencies=[from_an_agent])
def heartbeat(job_id: JobId, given: Heartbeat, parts: ServiceParts) -> LeaseExtended:
    """Extend a lease; 409 when a newer token was granted, or with code `paused` when its device was paused.

    Agents ask every few seconds, so that a pause is heard of soon; most of that costs the database one look.
    """
    lease_s = parts.settings.lease_seconds
    with parts.database.read() as session:
        expires_at = Jobs(session).lease_without_extension(job_id, given.token, lease_s)
        if expires_at is not None:
            return LeaseExtended(expires_in_s=(expires_at - database_now(session)).total_seconds())
    with parts.database.write() as session:
        jobs = Jobs(session)
        jobs.heartbeat(job_id, given.token, lease_s)
        agent_id = jobs.get(job_id).agent_id
        if agent_id is not None:
            Agents(session).touch(agent_id)
    return LeaseExtended(expires_in_s=lease_s)


@router.post("/{job_id}/result", dependencies=[from_an_agent])
def result(job_id: JobId, given: JobResult, parts: ServiceParts) -> Stored:
    """Store what became of a job; 409 (and kept as evidence) when it no longer counts."""
    _require_readable(given.outcome)
    try:
        with parts.database.write() as session:
            Jobs(session).report(job_id, given.token, given.outcome)
    except ResultRefused as refusal:
        _keep_evidence(parts, job_id, given, refusal.code)
        raise
    parts.bell.ring()
    return Stored(stored=True)


@router.post("/{job_id}/release", dependencies=[from_an_agent])
def release(job_id: JobId, given: Release, parts: ServiceParts) -> Stored:
    """Give a job back unmeasured."""
    with parts.database.write() as session:
        Jobs(session).release(job_id, given.token, given.reason)
    parts.bell.ring()
    return Stored(stored=True)


@router.get("/{job_id}/log")
def log(job_id: JobId, parts: ServiceParts) -> JobLog:
    """Read every attempt of a job with the log of what ran."""
    with parts.database.read() as session:
        jobs = Jobs(session)
        job = jobs.get(job_id)
        attempts = [AttemptOut.model_validate(row, from_attributes=True) for row in jobs.attempts(job_id)]
        refused = len(jobs.evidence(job_id))
    return JobLog(
        job_id=job.id,
        state=job.state,
        outcome=job.outcome,
        detail=job.detail,
        attempts=attempts,
        refused=refused,
    )


def _keep_evidence(parts: Parts, job_id: str, given: JobResult, code: str) -> None:
    with parts.database.write() as session:
        Jobs(session).keep_evidence(job_id, given.token, code, given.outcome)


def _require_readable(outcome: dict[str, Any]) -> None:
    try:
        json.dumps(outcome, allow_nan=False)
        outcome_from_dict(outcome)
    except (DeviceError, ValueError, TypeError) as error:
        raise BadInput(
            f"the outcome can't be read: {error}",
            field="outcome",
            hint="install the service's version on the agent's host: pip install --upgrade loopfront",
        ) from None
