"""Say before a study is submitted how long it would take: from what its devices took for others like it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.store import studies
from service.store.database import database_now
from service.store.rows import AttemptRow, DeviceRow, JobRow, StudyRow, StudyTargetRow
from service.study_file import StudyDefinition
from service.study_lead import find_device
from service.time_left import SecondsLeft, seconds_left

USUAL_S = (12.0, 60.0)
"""A 60 M candidate takes so long on laptops that were seen; without a measurement nothing better is known."""
USUAL_PARAMETERS = 60e6
CALIBRATION_S = 45.0
NEWEST, LOOKED_AT = 50, 1000


@dataclass(frozen=True)
class TargetForecast:
    """The seconds that a target's device would be busy, and how many active studies wait for it already."""

    target: str
    device: str
    seconds: SecondsLeft
    waiting_studies: int
    based_on: str


@dataclass(frozen=True)
class StudyForecast:
    """All targets, and when the slowest ends: alone on its device, or sharing it fairly with all that wait there."""

    targets: tuple[TargetForecast, ...]
    ends_at_earliest: datetime
    ends_at_latest: datetime


def forecast(session: Session, definition: StudyDefinition) -> StudyForecast:
    """Forecast a study that would begin now."""
    candidates = definition.trials + len(definition.references)
    found = [
        _of_target(session, definition, target.name, find_device(session, target), candidates)
        for target in definition.targets
    ]
    now = database_now(session)
    earliest = max(each.seconds.low for each in found)
    latest = max(each.seconds.high * (1 + each.waiting_studies) for each in found)
    return StudyForecast(tuple(found), now + timedelta(seconds=earliest), now + timedelta(seconds=latest))


def _of_target(
    session: Session, definition: StudyDefinition, target: str, device: DeviceRow | None, candidates: int
) -> TargetForecast:
    took = _seconds_taken(session, device, definition) if device is not None else []
    band = seconds_left(took, candidates)
    if band is None:
        factor = definition.budget.parameters / USUAL_PARAMETERS
        band = SecondsLeft(*(each * factor * candidates for each in USUAL_S))
        based_on = "no such candidate was measured there yet: what laptops usually take, by parameters"
    else:
        based_on = f"the newest {len(took)} candidates of this workload measured there"
    band = SecondsLeft(band.low + CALIBRATION_S, band.high + CALIBRATION_S)
    limit = definition.device_minutes
    if limit is not None:
        band = SecondsLeft(min(band.low, 60 * limit), min(band.high, 60 * limit))
    waiting = _studies_waiting(session, device) if device is not None else 0
    return TargetForecast(target, device.name if device else "not registered yet", band, waiting, based_on)


def _seconds_taken(session: Session, device: DeviceRow, definition: StudyDefinition) -> list[float]:
    """Read what candidates of this workload took of a device, scaled by parameters to this study's budget."""
    query = (
        select(AttemptRow.device_seconds, StudyRow.document)
        .join(JobRow, JobRow.id == AttemptRow.job_id)
        .join(StudyRow, StudyRow.id == JobRow.study_id)
        .where(JobRow.device_id == device.id, JobRow.purpose == "trial", AttemptRow.outcome == "measured")
        .order_by(AttemptRow.granted_at.desc())
        .limit(LOOKED_AT)
    )
    asked = definition.document
    found = []
    for seconds, document in session.execute(query):
        is_alike = all(document.get(key) == asked.get(key) for key in ("workload", "precision", "measuring"))
        if is_alike and seconds > 0:
            found.append(seconds * definition.budget.parameters / document["budget"]["parameters"])
    return found[:NEWEST]


def _studies_waiting(session: Session, device: DeviceRow) -> int:
    query = (
        select(StudyRow.id)
        .join(StudyTargetRow, StudyTargetRow.study_id == StudyRow.id)
        .where(StudyTargetRow.device_id == device.id, StudyRow.state.in_(studies.ACTIVE))
        .distinct()
    )
    return len(session.scalars(query).all())
