"""Trials and fronts of a study."""

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy.orm import Session

from service.api.dependencies import ServiceParts
from service.api.schemas import AnswerOut, FrontOut, ObjectiveOut, ObservationOut, TrialDetailOut, TrialOut
from service.store.jobs import Jobs
from service.store.measurements import Measurements
from service.store.rows import TrialMeasurementRow, TrialRow
from service.store.studies import Studies
from service.store.trials import Candidates, Trials
from service.study_file import stored_study
from service.study_rows import front_of

router = APIRouter(prefix="/studies/{name}", tags=["trials"])
StudyKey = Annotated[str, Path(max_length=100)]


@router.get("/trials")
def list_trials(name: StudyKey, parts: ServiceParts) -> list[TrialOut]:
    """List a study's trials by number."""
    with parts.database.read() as session:
        study = Studies(session).find(name)
        return [_shown(session, row) for row in Trials(session).of_study(study.id)]


@router.get("/trials/{number}")
def read_trial(
    name: StudyKey, number: Annotated[int, Path(ge=0, le=2**31 - 1)], parts: ServiceParts
) -> TrialDetailOut:
    """Read everything that is known of a trial, down to the raw samples and the passport."""
    with parts.database.read() as session:
        row = Trials(session).numbered(Studies(session).find(name).id, number)
        answers = [
            _answer(session, each)
            for each in Trials(session).study_measurements(row.study_id)
            if each.trial_id == row.id
        ]
        return TrialDetailOut(
            **_shown(session, row).model_dump(),
            parameters=row.parameters,
            architecture=Candidates(session).get(row.candidate_digest).architecture,
            measurements=answers,
        )


@router.get("/front", tags=["fronts"])
def read_front(name: StudyKey, parts: ServiceParts) -> FrontOut:
    """Read the front of the measured candidates."""
    with parts.database.read() as session:
        study = Studies(session).find(name)
        definition = stored_study(study.document)
        rows = Trials(session).of_study(study.id)
        front = front_of(rows, definition)
        volumes = [row.hypervolume for row in rows if row.hypervolume is not None]
        return FrontOut(
            objectives=[
                ObjectiveOut(name=each.name, unit=each.metric.unit, direction=each.direction)
                for each in definition.objectives
            ],
            feasible=bool(front.numbers),
            knee=front.knee,
            reference_point=study.reference_point,
            hypervolume=volumes[-1] if volumes else None,
            trials=[_shown(session, row) for row in rows if row.number in front.numbers],
            closest=[_shown(session, row) for row in rows if row.number in front.closest],
        )


def _shown(session: Session, row: TrialRow) -> TrialOut:
    observations = {name: ObservationOut.model_validate(each) for name, each in row.observations.items()}
    return TrialOut(
        number=row.number,
        kind=row.kind,
        label=row.label,
        state=row.state,
        layout=Candidates(session).get(row.candidate_digest).layout,
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
        outcome=stored.outcome if stored else None,
    )
