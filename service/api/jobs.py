"""Measurement jobs: heartbeat, result, release and log."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from devices.bandwidth_plan import BandwidthPlan
from devices.errors import DeviceError
from devices.outcome import BandwidthMeasured, Measured, outcome_from_dict
from service.api.dependencies import ServiceParts, require_protocol
from service.api.schemas import AttemptOut, Heartbeat, JobLog, JobResult, LeaseExtended, Release, Stored
from service.errors import BadInput, ResultRefused
from service.parts import Parts
from service.store.agents import Agents
from service.store.jobs import Jobs

router = APIRouter(prefix="/jobs", tags=["jobs"])
speaks_protocol = Depends(require_protocol)
JobId = Annotated[str, Path(max_length=100)]


@router.post("/{job_id}/heartbeat", dependencies=[speaks_protocol])
def heartbeat(job_id: JobId, given: Heartbeat, parts: ServiceParts) -> LeaseExtended:
    """Extend a lease; 409 when a newer token was granted."""
    with parts.database.write() as session:
        jobs = Jobs(session)
        jobs.heartbeat(job_id, given.token, parts.settings.lease_seconds)
        agent_id = jobs.get(job_id).agent_id
        if agent_id is not None:
            Agents(session).touch(agent_id)
    return LeaseExtended(expires_in_s=parts.settings.lease_seconds)


@router.post("/{job_id}/result", dependencies=[speaks_protocol])
def result(job_id: JobId, given: JobResult, parts: ServiceParts) -> Stored:
    """Store what became of a job; 409 (and kept as evidence) when it no longer counts."""
    _require_readable(given.outcome)
    try:
        with parts.database.write() as session:
            _require_answer(Jobs(session).get(job_id).plan, given.outcome)
            Jobs(session).report(job_id, given.token, given.outcome)
    except ResultRefused as refusal:
        _keep_evidence(parts, job_id, given, refusal.code)
        raise
    parts.bell.ring()
    return Stored(stored=True)


@router.post("/{job_id}/release", dependencies=[speaks_protocol])
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


def _require_answer(plan: dict[str, Any], outcome: dict[str, Any]) -> None:
    """Refuse numbers of another kind than the job asked for."""
    expected = BandwidthMeasured.kind if plan.get("kind") == BandwidthPlan.kind else Measured.kind
    if outcome["kind"] in {Measured.kind, BandwidthMeasured.kind} - {expected}:
        raise BadInput(
            f"{outcome['kind']!r} doesn't answer this job, which asks for {expected!r}",
            field="outcome.kind",
            hint="report what was measured under the job that asked for it",
        )
