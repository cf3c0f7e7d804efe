"""Trials of a study: list them, read one whole, measure one again, add a quality found elsewhere."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from sqlalchemy.orm import Session

from service.api.authorisation import AuditedRoute, reads, submits
from service.api.dependencies import ServiceParts
from service.api.paging import Cursor, Limit, read_number, written_number
from service.api.schemas import (
    AnswerOut,
    ExternalQualityOut,
    ObservationOut,
    QualityGiven,
    TrialDetailOut,
    TrialOut,
    TrialPage,
)
from service.errors import BadInput
from service.store.external_quality import ExternalQualities, ExternalQuality
from service.store.jobs import Jobs
from service.store.measurements import Measurements
from service.store.rows import TrialMeasurementRow, TrialRow
from service.store.studies import Studies
from service.store.trials import Candidates, Trials
from service.study_repeats import measure_again

router = APIRouter(prefix="/studies/{name}", tags=["trials"], dependencies=[reads], route_class=AuditedRoute)
StudyKey = Annotated[str, Path(max_length=100)]
TrialNumber = Annotated[int, Path(ge=0, le=2**31 - 1)]
TrialState = Literal["waiting", "running", "measured", "failed", "duplicate"]
TrialKind = Literal["trial", "enqueued", "reference"]
ExternalMetric = Annotated[str, Path(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,60}$")]


@router.get("/trials")
def list_trials(
    name: StudyKey,
    parts: ServiceParts,
    state: Annotated[list[TrialState] | None, Query(max_length=10)] = None,
    kind: Annotated[list[TrialKind] | None, Query(max_length=10)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> TrialPage:
    """List a study's trials by number, a page at a time."""
    after = read_number(cursor, start=-1)
    with parts.database.read() as session:
        study = Studies(session).find(name)
        rows = Trials(session).page(study.id, tuple(state or ()), tuple(kind or ()), after, limit + 1)
    shown = shown_trials(rows)
    is_last = len(shown) <= limit
    return TrialPage(
        items=shown[:limit], next_cursor=None if is_last else written_number(shown[limit - 1].number)
    )


@router.get("/trials/{number}")
def read_trial(name: StudyKey, number: TrialNumber, parts: ServiceParts) -> TrialDetailOut:
    """Read everything that is known of a trial, down to the raw samples and the passport."""
    with parts.database.read() as session:
        row = Trials(session).numbered(Studies(session).find(name).id, number)
        answers = [_answer(session, each) for each in Trials(session).all_measurements(row.id)]
        candidate = Candidates(session).get(row.candidate_digest)
        return TrialDetailOut(
            **_shown(row, candidate.layout).model_dump(),
            parameters=row.parameters,
            architecture=candidate.architecture,
            measurements=answers,
            external_quality=[
                ExternalQualityOut.model_validate(each)
                for each in ExternalQualities(session).of_trial(row.id)
            ],
        )


@router.post("/trials/{number}/remeasure", dependencies=[submits])
def remeasure(name: StudyKey, number: TrialNumber, parts: ServiceParts) -> TrialDetailOut:
    """Measure a trial once more: one that was measured gets another round, one that failed is run again."""
    with parts.database.write() as session:
        study = Studies(session).find(name)
        Studies(session).state_of(study.id)  # locks it: two at once would order the same round
        measure_again(session, study, Trials(session).numbered(study.id, number))
    parts.bell.ring()
    return read_trial(name, number, parts)


@router.put("/trials/{number}/quality/{metric}", dependencies=[submits])
def post_quality(
    name: StudyKey, number: TrialNumber, metric: ExternalMetric, given: QualityGiven, parts: ServiceParts
) -> TrialDetailOut:
    """Keep a quality value that was found elsewhere, such as a benchmark of the trained model, with its source."""
    with parts.database.write() as session:
        study = Studies(session).find(name)
        Studies(session).state_of(study.id)  # locks it: two at once would both find nothing there yet
        row = Trials(session).numbered(study.id, number)
        low = given.value if given.low is None else given.low
        high = given.value if given.high is None else given.high
        if not low <= given.value <= high:
            raise BadInput(
                f"{given.value} lies outside of its interval [{low}, {high}]",
                field="low",
                hint="give low <= value <= high, or leave both out",
            )
        quality = ExternalQuality(metric, given.direction, given.value, low, high, given.source)
        ExternalQualities(session).put(row.id, quality)
    return read_trial(name, number, parts)


def shown_trials(rows: Sequence[tuple[TrialRow, str]]) -> list[TrialOut]:
    """Show trials with their layouts."""
    return [_shown(row, layout) for row, layout in rows]


def _shown(row: TrialRow, layout: str) -> TrialOut:
    observations = {name: ObservationOut.model_validate(each) for name, each in row.observations.items()}
    return TrialOut(
        number=row.number,
        kind=row.kind,
        label=row.label,
        state=row.state,
        layout=layout,
        candidate_digest=row.candidate_digest,
        outcome=row.outcome,
        detail=row.detail,
        observations=observations,
        hypervolume=row.hypervolume,
        work_seconds=row.work_seconds,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _answer(session: Session, row: TrialMeasurementRow) -> AnswerOut:
    measurement_id = row.measurement_id
    if measurement_id is None and row.job_id is not None:
        measurement_id = Jobs(session).get(row.job_id).measurement_id
    stored = Measurements(session).get(measurement_id) if measurement_id else None
    return AnswerOut(
        target=row.target,
        round=row.round,
        job_id=row.job_id,
        measurement_id=measurement_id,
        reused=row.job_id is None,
        outcome=Measurements(session).outcome_of(stored) if stored else None,
    )
