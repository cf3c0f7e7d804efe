"""Measure finished candidates of a study again, to see how well the numbers repeat."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from devices.service_link import LEASES_PER_DEVICE
from service.errors import Conflict
from service.leases import CANCELLED, DONE
from service.parts import Parts
from service.store import studies, trials
from service.store.jobs import JobDraft, Jobs
from service.store.measurements import Measurements
from service.store.rows import StudyRow, TrialRow
from service.store.studies import Studies
from service.store.trials import Trials

ROUND = 1


class StudyRepeats:
    """Orders repeats, as many at a time as trials, so that they stand in the session as those do."""

    def __init__(self, parts: Parts, study_id: str) -> None:
        self.parts = parts
        self.study_id = study_id

    def are_wanted(self, session: Session) -> bool:
        """Say whether a candidate is still to be measured again."""
        return self._next(session) is not None or not self.are_done(session)

    def are_done(self, session: Session) -> bool:
        """Say whether every repeat that was ordered has ended."""
        return not self._under_way(session)

    def _under_way(self, session: Session) -> set[str]:
        """Return the trials of which a repeat is ordered and has not ended."""
        rows = Trials(session).study_measurements(self.study_id)
        ordered = [(row.trial_id, row.job_id) for row in rows if row.round and row.job_id]
        return {
            trial_id
            for trial_id, job_id in ordered
            if Jobs(session).get(job_id).state not in {DONE, CANCELLED}
        }

    def step(self) -> bool:
        """Order the next repeat where there is room for one; False when there is nothing to do now."""
        with self.parts.database.write() as session:
            is_repeating = Studies(session).state_of(self.study_id) == studies.REPEATING
            is_time = is_repeating and len(self._under_way(session)) < LEASES_PER_DEVICE
            trial = self._next(session) if is_time else None
            if trial is None:
                return False
            order_round(session, trial, ROUND)
        self.parts.bell.ring()
        return True

    def _next(self, session: Session) -> TrialRow | None:
        wanted = session.get_one(StudyRow, self.study_id).repeats_requested
        rows = Trials(session).of_study(self.study_id)
        answers = Trials(session).study_measurements(self.study_id)
        repeated = {each.trial_id for each in answers if each.round == ROUND}
        # Of more trials than there were, others would be chosen, beside those that were repeated already.
        if len(repeated) >= wanted:
            return None
        chosen = spread_evenly([row for row in rows if _is_repeatable(row)], wanted)
        return next((row for row in chosen if row.id not in repeated), None)


def measure_again(session: Session, study: StudyRow, trial: TrialRow) -> None:
    """Measure a trial once more: another round of one that was measured; one that failed is run again."""
    if trial.state == trials.FAILED:
        _require_that_it_goes_on(study)
        for answer in Trials(session).measurements(trial.id):
            Measurements(session).distrust(answer.job_id, answer.measurement_id)
        Trials(session).put_back(trial.id)
        Studies(session).move(study.id, (studies.FINISHED, studies.REPEATING), studies.RUNNING)
        return
    if trial.state != trials.MEASURED:
        raise Conflict(
            f"trial {trial.number} is {trial.state}", field="number", hint="wait until it was measured"
        )
    _require_that_it_goes_on(study)
    newest = max(each.round for each in Trials(session).all_measurements(trial.id))
    order_round(session, trial, newest + 1)
    Studies(session).move(study.id, (studies.FINISHED,), studies.REPEATING)


def order_round(session: Session, trial: TrialRow, number: int) -> None:
    """Put on the devices' lists what was measured for a trial first, to be measured afresh."""
    for target, job_id in _first_jobs(session, trial.id).items():
        first = Jobs(session).get(job_id)
        again = JobDraft(
            device_id=first.device_id,
            study_id=trial.study_id,
            purpose="repeat",
            cache_key=first.cache_key,
            plan=first.plan,
            bypasses_cache=True,
        )
        Trials(session).attach(trial.id, target, number, Jobs(session).create(again).id, None)


def _first_jobs(session: Session, trial_id: str) -> dict[str, str]:
    found = {}
    for row in Trials(session).measurements(trial_id):
        reused = row.measurement_id is not None
        job_id = Measurements(session).get(row.measurement_id or "").job_id if reused else row.job_id
        found[row.target] = job_id or ""
    return found


def _require_that_it_goes_on(study: StudyRow) -> None:
    if study.state in studies.STOPPED:
        raise Conflict(
            f"the study {study.name!r} is {study.state}",
            hint=f"resume it first: loopfront study resume {study.name}",
        )


def spread_evenly(rows: Sequence[TrialRow], count: int) -> list[TrialRow]:
    """Choose `count` of the rows at even distances, first and last included."""
    if count >= len(rows):
        return list(rows)
    if count < 2:
        return list(rows[:count])
    step = (len(rows) - 1) / (count - 1)
    return [rows[round(index * step)] for index in range(count)]


def _is_repeatable(row: TrialRow) -> bool:
    return row.state == trials.MEASURED and row.kind != trials.REFERENCE
