"""Measurement jobs: heartbeat, result, release and log."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path

from devices.bandwidth_plan import BandwidthPlan
from devices.outcome import BandwidthMeasured, Measured
from devices.untrusted_text import visible_line
from service.api.attempts import attempt_out
from service.api.authorisation import reads
from service.api.dependencies import AgentPrincipal, AgentTurns, ServiceParts, require_own
from service.api.quick_json import QuickJsonRoute
from service.api.schemas import Heartbeat, JobLog, JobResult, LeaseExtended, Release, Stored
from service.device_result import read_result, unusable_result
from service.errors import BadInput, ResultRefused
from service.parts import Parts
from service.rights import Principal
from service.store.agents import Agents
from service.store.attempts import Attempts
from service.store.database import database_now
from service.store.jobs import NEVER_GRANTED, Jobs
from service.store.lease_statements import Asked, Standing
from service.store.samples import put_samples

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=QuickJsonRoute)
JobId = Annotated[str, Path(max_length=100)]


@router.post("/{job_id}/heartbeat")
def heartbeat(
    job_id: JobId, given: Heartbeat, parts: ServiceParts, principal: AgentPrincipal
) -> LeaseExtended:
    """Extend a lease; 409 when a newer token was granted, or with code `paused` when its device was paused.

    Agents ask every few seconds, so that a pause is heard of soon; most of that costs the database one look.
    """
    lease_s = parts.settings.lease_seconds
    with parts.database.read() as session:
        standing = Jobs(session).standing(job_id, given.token)
        _require_own_attempt(principal, standing)
        expires_at = Jobs(session).lease_without_extension(standing, given.token, lease_s)
        if expires_at is not None:
            return LeaseExtended(expires_in_s=(expires_at - database_now(session)).total_seconds())
    with parts.database.write() as session:
        Jobs(session).heartbeat(job_id, given.token, lease_s)
        if standing.agent_id is not None:
            Agents(session).touch(standing.agent_id)
    return LeaseExtended(expires_in_s=lease_s)


@router.post("/{job_id}/result")
async def result(
    job_id: JobId, given: JobResult, parts: ServiceParts, turns: AgentTurns, principal: AgentPrincipal
) -> Stored:
    """Store what became of a job; 409 (and kept as evidence) when it no longer counts.

    A result that can't be used is refused by name, and its attempt ends as a runner fault.
    """
    await turns.run(_take_result, job_id, given, parts, principal)
    return Stored(stored=True)


@router.post("/{job_id}/release")
def release(job_id: JobId, given: Release, parts: ServiceParts, principal: AgentPrincipal) -> Stored:
    """Give a job back unmeasured."""
    with parts.database.write() as session:
        _require_own_attempt(principal, Jobs(session).standing(job_id, given.token))
        Jobs(session).release(job_id, given.token, visible_line(given.reason))
    parts.bell.ring()
    return Stored(stored=True)


@router.get("/{job_id}/log", dependencies=[reads])
def log(job_id: JobId, parts: ServiceParts) -> JobLog:
    """Read every attempt of a job with the log of what ran."""
    with parts.database.read() as session:
        jobs = Jobs(session)
        job = jobs.get(job_id)
        attempts = [attempt_out(each) for each in Attempts(session).of_job(job_id)]
        refused = len(jobs.evidence(job_id))
    return JobLog(
        job_id=job.id,
        state=job.state,
        outcome=job.outcome,
        detail=job.detail,
        attempts=attempts,
        refused=refused,
    )


def _take_result(job_id: str, given: JobResult, parts: Parts, principal: Principal) -> None:
    with parts.database.read() as session:
        asked = Jobs(session).asked(job_id, given.token)
    _require_own_attempt(principal, asked)
    if asked.granted_to is None:
        # Nothing of it is kept, so that nobody fills the disk with results of no lease.
        raise ResultRefused(NEVER_GRANTED, field="token", code="never-granted")
    try:
        outcome = read_result(given.outcome)
        _require_answer(asked, outcome)
    except BadInput as error:
        with contextlib.suppress(ResultRefused):
            _store(parts, job_id, given.token, unusable_result(given.outcome, error))
        raise
    _store(parts, job_id, given.token, outcome)


def _require_own_attempt(principal: Principal, lease: Standing | Asked) -> None:
    """Refuse an agent that speaks of a lease that another one was granted."""
    if lease.granted_to is not None:
        require_own(principal, lease.granted_to)


def _store(parts: Parts, job_id: str, token: int, outcome: dict[str, Any]) -> None:
    samples = put_samples(parts.blobs, outcome)
    try:
        with parts.database.write() as session:
            Jobs(session).report(job_id, token, outcome, samples)
    except ResultRefused as refusal:
        with parts.database.write() as session:
            Jobs(session).keep_evidence(job_id, token, refusal.code, outcome, samples)
        raise
    parts.bell.ring()


def _require_depths(asked: Sequence[int], told: Sequence[Mapping[str, Any]]) -> None:
    depths = sorted(each["context_tokens"] for each in told)
    if depths != sorted(asked):
        raise BadInput(
            f"decode was measured at the further contexts {depths}, the job asks for {sorted(asked)}",
            field="outcome.deeper",
            hint="report each context that the plan names, once",
        )


def _require_answer(asked: Asked, outcome: dict[str, Any]) -> None:
    """Refuse numbers of another kind than the job asked for."""
    if outcome["kind"] == Measured.kind and asked.workload is not None:
        _require_depths(asked.workload.get("deeper_contexts", []), outcome.get("deeper", []))
    expected = BandwidthMeasured.kind if asked.kind == BandwidthPlan.kind else Measured.kind
    if outcome["kind"] in {Measured.kind, BandwidthMeasured.kind} - {expected}:
        raise BadInput(
            f"{outcome['kind']!r} doesn't answer this job, which asks for {expected!r}",
            field="outcome.kind",
            hint="report what was measured under the job that asked for it",
        )
