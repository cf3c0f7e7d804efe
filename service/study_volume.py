"""The hypervolume of a study's front so far; its reference point is frozen after the start-up trials."""

from sqlalchemy.orm import Session

from search.front import hypervolume, reference_point
from search.proposer import START_UP_TRIALS
from service.store.rows import StudyRow, TrialRow
from service.store.trials import Trials
from service.study_file import StudyDefinition
from service.study_history import points_of
from service.study_rows import front_of


def update_hypervolume(session: Session, definition: StudyDefinition, trial: TrialRow) -> None:
    """Freeze the reference point when it is time, and note the front's size, and its volume once `trial` was told."""
    study = session.get_one(StudyRow, trial.study_id)
    directions = [objective.direction for objective in definition.objectives]
    rows = Trials(session).of_study(trial.study_id)
    measured = points_of(rows, definition)
    study.front_size = len(front_of(rows, definition).numbers)
    if study.reference_point is None:
        if len(measured) < min(START_UP_TRIALS, definition.trials):
            return
        study.reference_point = list(reference_point([point for _, point, _ in measured], directions))
    feasible = [point for _, point, violation in measured if violation <= 0]
    trial.hypervolume = hypervolume(feasible, directions, study.reference_point) if feasible else 0.0
