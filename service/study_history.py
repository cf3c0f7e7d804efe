"""Translate a study's trial rows into what the proposer and the front are told."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from operators.architecture import Architecture
from operators.notation import architecture_from_dict
from search.objective import total_violation
from search.proposer import Abandoned, Faulted, Result, Scored, Told, UnderWay
from service.leases import CANDIDATE_FAULTS
from service.observations import observations_from_dict
from service.store import trials
from service.store.rows import TrialRow
from service.store.trials import Candidates
from service.study_file import StudyDefinition


def history_of(session: Session, rows: Sequence[TrialRow]) -> list[Told]:
    """Give one entry per trial in the order of their numbers."""
    return [_told(session, row) for row in rows]


def values_of(row: TrialRow) -> dict[str, float]:
    """Give a trial's values by metric."""
    return {name: each.value for name, each in observations_from_dict(row.observations).items()}


def points_of(
    rows: Sequence[TrialRow], definition: StudyDefinition
) -> list[tuple[TrialRow, list[float], float]]:
    """Give the measured candidates (references aside) with their objective values and total violation."""
    names = [objective.name for objective in definition.objectives]
    found = []
    for row in rows:
        if row.state == trials.MEASURED and row.kind != trials.REFERENCE:
            values = values_of(row)
            found.append(
                (row, [values[name] for name in names], total_violation(definition.constraints, values))
            )
    return found


def architecture_of(session: Session, row: TrialRow) -> Architecture:
    """Read a trial's architecture."""
    return architecture_from_dict(Candidates(session).get(row.candidate_digest).architecture)


def _told(session: Session, row: TrialRow) -> Told:
    return Told(architecture_of(session, row), _result(row), row.parameters or None)


def _result(row: TrialRow) -> Result:
    if row.state in {trials.WAITING, trials.RUNNING}:
        return UnderWay()
    if row.state == trials.MEASURED:
        return Scored(values_of(row))
    if row.outcome in CANDIDATE_FAULTS:
        return Faulted(row.outcome)
    return Abandoned()
