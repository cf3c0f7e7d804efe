"""Fronts of a study, by any of its metrics, for programs and for spreadsheets."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy.orm import Session

from reports.front_files import FrontLine, csv_of, parquet_of
from service.api.authorisation import reads
from service.api.dependencies import ServiceParts
from service.api.schemas import FrontOut, ObjectiveOut, TrialOut
from service.api.trials import shown_trials
from service.front_query import QueriedFront, query_front
from service.store.rows import StudyRow
from service.store.studies import Studies
from service.store.trials import Trials

router = APIRouter(prefix="/studies/{name}", tags=["fronts"], dependencies=[reads])
FrontFormat = Literal["json", "csv", "parquet"]
ObjectiveNames = Annotated[
    list[str] | None,
    Query(
        max_length=16, description="metrics such as tpot_ms_p50@laptop; all objectives where none is named"
    ),
]
FILES = {
    200: {
        "model": FrontOut,
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.get("/front", response_model=FrontOut, responses=FILES)  # type: ignore[arg-type]
def read_front(
    name: Annotated[str, Path(max_length=100)],
    parts: ServiceParts,
    objectives: ObjectiveNames = None,
    format: FrontFormat = "json",  # noqa: A002 - the name that callers know
) -> FrontOut | Response:
    """Read the front of the measured candidates, with its hypervolume and the reference point of that."""
    with parts.database.read() as session:
        study = Studies(session).find(name)
        front = query_front(session, study, objectives or ())
        best = _trials(session, study, front.numbers)
        if format == "json":
            return _shown(front, best, _trials(session, study, front.closest))
    lines = [_line(trial, front.knee) for trial in best]
    metrics = [each.name for each in front.objectives]
    file_name = f'attachment; filename="{study.name}-front.{format}"'
    headers = {"Content-Disposition": file_name}
    if format == "csv":
        return Response(csv_of(lines, metrics), media_type="text/csv; charset=utf-8", headers=headers)
    return Response(parquet_of(lines, metrics), media_type="application/vnd.apache.parquet", headers=headers)


def _trials(session: Session, study: StudyRow, numbers: tuple[int, ...]) -> list[TrialOut]:
    return shown_trials(Trials(session).with_numbers(study.id, numbers))


def _shown(front: QueriedFront, best: list[TrialOut], closest: list[TrialOut]) -> FrontOut:
    return FrontOut(
        objectives=[
            ObjectiveOut(name=each.name, unit=each.metric.unit, direction=each.direction)
            for each in front.objectives
        ],
        feasible=bool(front.numbers),
        knee=front.knee,
        reference_point=list(front.reference) if front.reference is not None else None,
        reference_point_is_frozen=front.is_reference_frozen,
        hypervolume=front.hypervolume,
        trials=best,
        closest=closest,
    )


def _line(trial: TrialOut, knee: int | None) -> FrontLine:
    observations = {name: each.model_dump() for name, each in trial.observations.items()}
    return FrontLine(
        trial.number, trial.label, trial.layout, trial.candidate_digest, trial.number == knee, observations
    )
