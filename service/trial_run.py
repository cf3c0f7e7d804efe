"""Run one trial: score it, order its measurements, and close it when every target has answered."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from devices.outcome import Measured
from operators.architecture import Architecture
from operators.errors import OperatorError
from search.observation import Observation
from service.measurement_desk import Answered, MeasurementDesk, Order
from service.measurement_plans import Calibration, DeviceTarget
from service.observations import observations_from_dict, observations_to_dict, observe
from service.parts import Parts
from service.quality_scores import RECALL, QualityScores
from service.store import studies, trials
from service.store.database import database_now
from service.store.rows import TrialRow
from service.store.studies import Studies
from service.store.trials import Trials
from service.study_answers import Failure, read_answer
from service.study_file import StudyDefinition
from service.study_history import architecture_of
from service.study_volume import update_hypervolume


@dataclass(frozen=True)
class BoundTarget:
    """A target with its device and its pinned calibration."""

    name: str
    device: DeviceTarget
    calibration: Calibration


class TrialRun:
    """Runs trials of one study from their rows; repeating a step that was interrupted changes nothing."""

    def __init__(
        self, parts: Parts, definition: StudyDefinition, desk: MeasurementDesk, quality: QualityScores
    ) -> None:
        self.parts = parts
        self.definition = definition
        self.desk = desk
        self.quality = quality
        wanted = {each.metric.name for each in definition.objectives}
        bounded = {each.metric.name for each in definition.constraints}
        self.needs_recall = RECALL in wanted | bounded
        self.conditions = definition.conditions

    def launch(self, trial_id: str, targets: Sequence[BoundTarget]) -> None:
        """Score the candidate and order what isn't ordered yet on every target; one that can't be built fails."""
        try:
            self._launch(trial_id, targets)
        except OperatorError as error:
            with self.parts.database.write() as session:
                Trials(session).end(trial_id, trials.FAILED, "unsupported", str(error), {})

    def close_if_answered(self, trial_id: str, targets: Sequence[BoundTarget]) -> bool:
        """End the trial once every target has answered; say whether it ended."""
        with self.parts.database.write() as session:
            row = Trials(session).get(trial_id)
            if Trials(session).drop_cancelled(row.study_id):
                return True  # the next step orders them anew
            answers = {
                each.target: read_answer(session, each) for each in Trials(session).measurements(trial_id)
            }
            answered = {name: answer for name, answer in answers.items() if answer is not None}
            if len(answered) < len(targets):
                return False
            self._close(session, row, answered, targets)
        return True

    def is_ordered(self, trial_id: str, targets: Sequence[BoundTarget]) -> bool:
        """Say whether every target has a job or an answer."""
        with self.parts.database.read() as session:
            return len(Trials(session).measurements(trial_id)) == len(targets)

    def _launch(self, trial_id: str, targets: Sequence[BoundTarget]) -> None:
        with self.parts.database.write() as session:
            row = Trials(session).get(trial_id)
            if Studies(session).state_of(row.study_id) != studies.RUNNING:
                return  # stopped by a user in the meantime
            row.state = trials.RUNNING
            row.launched_at = database_now(session)
            Trials(session).tell(row)
            architecture = architecture_of(session, row)
            ordered = {each.target for each in Trials(session).measurements(trial_id)}
            scored = bool(row.observations)
        if not scored:
            self._score(trial_id, architecture)
        for target in targets:
            if target.name not in ordered:
                self._order(trial_id, architecture, target)

    def _score(self, trial_id: str, architecture: Architecture) -> None:
        scores = self.quality.of(architecture, self.needs_recall)
        with self.parts.database.write() as session:
            Trials(session).get(trial_id).observations = observations_to_dict(scores)

    def _order(self, trial_id: str, architecture: Architecture, target: BoundTarget) -> None:
        with self.parts.database.read() as session:
            study_id = Trials(session).get(trial_id).study_id
        order = Order(architecture, self.conditions, target.device, target.calibration, "trial", study_id)
        found = self.desk.order(order)
        storing = time.perf_counter()
        with self.parts.database.write() as session:
            answered = found.measurement_id if isinstance(found, Answered) else None
            job_id = None if isinstance(found, Answered) else found.job_id
            Trials(session).attach(trial_id, target.name, 0, job_id, answered)
            row = Trials(session).get(trial_id)
            row.work_seconds += found.work_seconds + time.perf_counter() - storing

    def _close(
        self,
        session: Session,
        row: TrialRow,
        answers: Mapping[str, Measured | Failure],
        targets: Sequence[BoundTarget],
    ) -> None:
        failure = next((answer for answer in answers.values() if isinstance(answer, Failure)), None)
        if failure is not None:
            Trials(session).end(row.id, trials.FAILED, failure.kind, failure.reason, row.observations)
            return
        observed = observations_from_dict(row.observations) | _observed(answers, targets)
        written = observations_to_dict(observed)
        Trials(session).end(row.id, trials.MEASURED, "measured", row.detail, written)
        session.flush()
        update_hypervolume(session, self.definition, row)


def _observed(
    answers: Mapping[str, Measured | Failure], targets: Sequence[BoundTarget]
) -> dict[str, Observation]:
    found: dict[str, Observation] = {}
    for target in targets:
        answer = answers[target.name]
        if isinstance(answer, Measured):
            found |= observe(answer, target.calibration.reference, target.name)
    return found
