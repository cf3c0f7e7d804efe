"""Trials, their candidates, and which measurement answers them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from service.errors import NotFound
from service.leases import CANCELLED
from service.store.database import database_now
from service.store.events import TRIAL as EVENT_OF_TRIAL
from service.store.events import Events
from service.store.identifiers import new_id
from service.store.inserting import insert_unless_there
from service.store.rows import CandidateRow, JobRow, StudyRow, TrialMeasurementRow, TrialRow

WAITING, RUNNING, MEASURED, FAILED, DUPLICATE = "waiting", "running", "measured", "failed", "duplicate"
ENDED = (MEASURED, FAILED, DUPLICATE)
TRIAL, ENQUEUED, REFERENCE = "trial", "enqueued", "reference"


@dataclass(frozen=True)
class TrialDraft:
    """A trial to be: its kind, its label and its candidate (which must be stored)."""

    kind: str
    label: str
    candidate_digest: str
    parameters: Mapping[str, Any]
    state: str


class Candidates:
    """Queries about candidates."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, digest: str) -> CandidateRow:
        """Read one candidate."""
        row = self.session.get(CandidateRow, digest)
        if row is None:
            raise NotFound(f"there is no candidate {digest!r}")
        return row

    def keep(self, digest: str, layout: str, architecture: Mapping[str, Any]) -> CandidateRow:
        """Store a candidate unless it is there."""
        known = self.session.get(CandidateRow, digest)
        if known is None:
            insert_unless_there(
                self.session,
                CandidateRow,
                digest=digest,
                layout=layout,
                architecture=dict(architecture),
                created_at=database_now(self.session),
            )
        return known or self.session.get_one(CandidateRow, digest)


class Trials:
    """Queries about trials."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, trial_id: str) -> TrialRow:
        """Read one trial by its id."""
        return self.session.get_one(TrialRow, trial_id)

    def numbered(self, study_id: str, number: int) -> TrialRow:
        """Read one trial by its number."""
        query = select(TrialRow).where(TrialRow.study_id == study_id, TrialRow.number == number)
        row = self.session.scalar(query)
        if row is None:
            raise NotFound(f"this study has no trial {number}", field="number", hint="its report lists them")
        return row

    def of_study(self, study_id: str) -> Sequence[TrialRow]:
        """List a study's trials by number."""
        query = select(TrialRow).where(TrialRow.study_id == study_id).order_by(TrialRow.number)
        return self.session.scalars(query).all()

    def with_state(self, study_id: str, state: str) -> Sequence[TrialRow]:
        """List a study's trials in one state by number."""
        query = select(TrialRow).where(TrialRow.study_id == study_id, TrialRow.state == state)
        return self.session.scalars(query.order_by(TrialRow.number)).all()

    def add(self, study_id: str, draft: TrialDraft) -> TrialRow:
        """Give the next number to a new trial."""
        # Its leader and users who enqueue add at the same time: they take turns by the study's row.
        self.session.execute(select(StudyRow.id).where(StudyRow.id == study_id).with_for_update())
        newest = select(func.max(TrialRow.number)).where(TrialRow.study_id == study_id)
        row = TrialRow(
            id=new_id("trial"),
            study_id=study_id,
            number=(self.session.scalar(newest) or 0) + 1,
            kind=draft.kind,
            label=draft.label,
            candidate_digest=draft.candidate_digest,
            parameters=dict(draft.parameters),
            state=draft.state,
            outcome="",
            detail="",
            observations={},
            work_seconds=0.0,
            created_at=database_now(self.session),
        )
        self.session.add(row)
        self.session.flush()
        self._count(row, trials_counted=1)
        return row

    def page(
        self, study_id: str, states: Collection[str], kinds: Collection[str], after: int, limit: int
    ) -> Sequence[tuple[TrialRow, str]]:
        """List trials with their layouts by number, from behind a number."""
        query = (
            select(TrialRow, CandidateRow.layout)
            .join(CandidateRow, CandidateRow.digest == TrialRow.candidate_digest)
            .where(TrialRow.study_id == study_id, TrialRow.number > after)
        )
        if states:
            query = query.where(TrialRow.state.in_(states))
        if kinds:
            query = query.where(TrialRow.kind.in_(kinds))
        found = self.session.execute(query.order_by(TrialRow.number).limit(limit))
        return [(row, layout) for row, layout in found]

    def with_numbers(self, study_id: str, numbers: Collection[int]) -> Sequence[tuple[TrialRow, str]]:
        """List these trials with their layouts by number."""
        query = (
            select(TrialRow, CandidateRow.layout)
            .join(CandidateRow, CandidateRow.digest == TrialRow.candidate_digest)
            .where(TrialRow.study_id == study_id, TrialRow.number.in_(numbers))
        )
        return [(row, layout) for row, layout in self.session.execute(query.order_by(TrialRow.number))]

    def end(
        self, trial_id: str, state: str, outcome: str, detail: str, observations: Mapping[str, Any]
    ) -> TrialRow:
        """Close a trial with what became of it."""
        row = self.get(trial_id)
        if row.state not in ENDED:
            self._count(row, trials_done=1, trials_failed=int(state == FAILED))
        row.state = state
        row.outcome = outcome
        row.detail = detail
        row.observations = dict(observations)
        row.finished_at = database_now(self.session)
        self.tell(row)
        return row

    def tell(self, row: TrialRow) -> None:
        """Tell those who watch how a trial stands now."""
        values = {name: each["value"] for name, each in row.observations.items()} if row.finished_at else {}
        Events(self.session).add(
            EVENT_OF_TRIAL,
            row.study_id,
            number=row.number,
            is_reference=row.kind == REFERENCE,
            state=row.state,
            outcome=row.outcome,
            values=values,
        )

    def newest_ended(self, study_id: str, count: int) -> Sequence[TrialRow]:
        """List the trials that ended last, newest first."""
        query = select(TrialRow).where(TrialRow.study_id == study_id, TrialRow.finished_at.is_not(None))
        return self.session.scalars(query.order_by(TrialRow.finished_at.desc()).limit(count)).all()

    def restart_clocks(self, study_id: str) -> None:
        """Count the time of what is under way from now: nobody worked at it while the service was stopped."""
        for row in self.with_state(study_id, RUNNING):
            row.launched_at = database_now(self.session)

    def put_back(self, trial_id: str) -> None:
        """Let a failed trial wait again, as if its measurement had never been ordered."""
        row = self.get(trial_id)
        if row.state in ENDED:
            self._count(row, trials_done=-1, trials_failed=-int(row.state == FAILED))
        row.state, row.outcome, row.detail, row.finished_at = WAITING, "", "", None
        for answer in self.measurements(trial_id):
            self.session.delete(answer)

    def _count(self, row: TrialRow, **changes: int) -> None:
        """Keep the study's counts, for lists that must not count all trials anew."""
        if row.kind == REFERENCE or not any(changes.values()):
            return
        values = {name: getattr(StudyRow, name) + change for name, change in changes.items() if change}
        self.session.execute(update(StudyRow).where(StudyRow.id == row.study_id).values(values))

    def drop_cancelled(self, study_id: str) -> bool:
        """Forget the orders of a study whose jobs were cancelled, to order them anew; say whether there were any."""
        query = (
            select(TrialMeasurementRow)
            .join(TrialRow, TrialRow.id == TrialMeasurementRow.trial_id)
            .join(JobRow, JobRow.id == TrialMeasurementRow.job_id)
            .where(TrialRow.study_id == study_id, JobRow.state == CANCELLED)
        )
        cancelled = self.session.scalars(query).all()
        for answer in cancelled:
            self.session.delete(answer)
        return bool(cancelled)

    def measurements(self, trial_id: str, round_number: int = 0) -> Sequence[TrialMeasurementRow]:
        """List what answers a trial on each of its targets in one round."""
        query = select(TrialMeasurementRow).where(
            TrialMeasurementRow.trial_id == trial_id, TrialMeasurementRow.round == round_number
        )
        return self.session.scalars(query.order_by(TrialMeasurementRow.target)).all()

    def all_measurements(self, trial_id: str) -> Sequence[TrialMeasurementRow]:
        """List what answers a trial on each of its targets, round by round."""
        query = select(TrialMeasurementRow).where(TrialMeasurementRow.trial_id == trial_id)
        return self.session.scalars(
            query.order_by(TrialMeasurementRow.round, TrialMeasurementRow.target)
        ).all()

    def study_measurements(self, study_id: str) -> Sequence[TrialMeasurementRow]:
        """List what answers every trial of a study, all rounds."""
        query = select(TrialMeasurementRow).join(TrialRow, TrialRow.id == TrialMeasurementRow.trial_id)
        return self.session.scalars(query.where(TrialRow.study_id == study_id)).all()

    def attach(
        self, trial_id: str, target: str, round_number: int, job_id: str | None, measurement_id: str | None
    ) -> TrialMeasurementRow:
        """Say which job, or which stored measurement, answers a trial on a target."""
        row = TrialMeasurementRow(
            id=new_id("answer"),
            trial_id=trial_id,
            target=target,
            round=round_number,
            job_id=job_id,
            measurement_id=measurement_id,
        )
        self.session.add(row)
        self.session.flush()
        return row
