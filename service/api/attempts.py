"""Attempts at measuring with the log of what ran: of a trial, of a single measurement, on a device."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from devices.untrusted_text import visible_line, visible_log
from service.api.authorisation import reads
from service.api.dependencies import ServiceParts
from service.api.schemas import AttemptOut
from service.errors import NotFound
from service.store.agents import Devices
from service.store.attempts import Attempt, Attempts
from service.store.requests import MeasurementRequests
from service.store.studies import Studies
from service.store.trials import Trials

router = APIRouter(tags=["attempts"], dependencies=[reads])
Key = Annotated[str, Path(max_length=100)]


@router.get("/studies/{name}/trials/{number}/attempts")
def trial_attempts(
    name: Key, number: Annotated[int, Path(ge=0, le=2**31 - 1)], parts: ServiceParts
) -> list[AttemptOut]:
    """List every attempt behind a trial, in the order in which they began."""
    with parts.database.read() as session:
        trial = Trials(session).numbered(Studies(session).find(name).id, number)
        return [attempt_out(each) for each in Attempts(session).of_trial(trial.id)]


@router.get("/measurements/{measurement_id}/attempts")
def measurement_attempts(measurement_id: Key, parts: ServiceParts) -> list[AttemptOut]:
    """List every attempt behind a single measurement, its device's calibration included."""
    with parts.database.read() as session:
        request = MeasurementRequests(session).get(measurement_id)
        return [attempt_out(each) for each in Attempts(session).of_request(request)]


@router.get("/devices/{name}/attempts")
def device_attempts(
    name: Key, parts: ServiceParts, newest: Annotated[int, Query(ge=1, le=200)] = 20
) -> list[AttemptOut]:
    """List the newest attempts on a device, whatever they were for; the newest is first."""
    with parts.database.read() as session:
        device = Devices(session).by_name(name)
        if device is None:
            raise NotFound(
                f"there is no device {name!r}", field="name", hint="`loopfront device list` names them"
            )
        return [attempt_out(each) for each in Attempts(session).of_device(device.id, newest)]


def attempt_out(attempt: Attempt) -> AttemptOut:
    """Show an attempt; where its result came late, the reason and the log are the late result's."""
    row, late = attempt.row, attempt.late.outcome if attempt.late else {}
    reason = "; ".join(text for text in (row.reason, str(late.get("reason", ""))) if text)
    return AttemptOut(
        id=row.id,
        job_id=row.job_id,
        token=row.token,
        purpose=attempt.purpose,
        study=attempt.study,
        target=attempt.target,
        round=attempt.round,
        device=attempt.device,
        agent=attempt.agent,
        granted_at=row.granted_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        outcome=row.outcome,
        late_outcome=str(late.get("kind", "")),
        reason=visible_line(reason),
        log=visible_log(row.log or str(late.get("log", ""))),
    )
