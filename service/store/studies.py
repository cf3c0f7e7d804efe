"""Studies and their targets."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, literal, select, tuple_, update
from sqlalchemy.orm import Session

from service.errors import Conflict, NotFound
from service.store.database import database_now, one_at_a_time
from service.store.events import STUDY, Events
from service.store.identifiers import new_id
from service.store.rows import (
    ExternalQualityRow,
    JobRow,
    LeadRow,
    StudyRow,
    StudyTargetRow,
    TrialMeasurementRow,
    TrialRow,
    UtcDateTime,
)

WAITING, CALIBRATING, RUNNING, REPEATING = "waiting", "calibrating", "running", "repeating"
FINISHED, PAUSED, CANCELLED, FAILED = "finished", "paused", "cancelled", "failed"
ACTIVE = (WAITING, CALIBRATING, RUNNING, REPEATING)
STOPPED = (PAUSED, CANCELLED, FAILED)
STATES = (*ACTIVE, FINISHED, *STOPPED)


@dataclass(frozen=True)
class StudyDraft:
    """A study as it was submitted; it ends after so many trials, or when it has used so many device-minutes."""

    name: str
    document: Mapping[str, Any]
    document_digest: str
    idempotency_key: str | None
    trials: int = 1
    device_minutes: float | None = None
    priority: int = 0


@dataclass(frozen=True)
class StudyFilter:
    """Which studies to list: in any of these states, with this text in their names; all where nothing is said."""

    states: Collection[str] = ()
    text: str = ""


class Studies:
    """Queries about studies."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def find(self, name_or_id: str) -> StudyRow:
        """Read a study by its name or id."""
        where = (StudyRow.name == name_or_id) | (StudyRow.id == name_or_id)
        row = self.session.scalar(select(StudyRow).where(where))
        if row is None:
            raise NotFound(
                f"there is no study {name_or_id!r}", field="study", hint="see `loopfront study list`"
            )
        return row

    def all(self) -> Sequence[StudyRow]:
        """List every study, newest first."""
        return self.session.scalars(select(StudyRow).order_by(StudyRow.created_at.desc())).all()

    def page(
        self, wanted: StudyFilter, before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[StudyRow]:
        """List studies, newest first, from behind the one that was created then and has this id."""
        query = select(StudyRow).order_by(StudyRow.created_at.desc(), StudyRow.id.desc()).limit(limit)
        if wanted.states:
            query = query.where(StudyRow.state.in_(wanted.states))
        if wanted.text:
            query = query.where(StudyRow.name.icontains(wanted.text, autoescape=True))
        if before is not None:
            place = tuple_(literal(before[0], UtcDateTime()), literal(before[1]))
            query = query.where(tuple_(StudyRow.created_at, StudyRow.id) < place)
        return self.session.scalars(query).all()

    def names(self, study_ids: Collection[str]) -> dict[str, str]:
        """Give these studies' names by id."""
        query = select(StudyRow.id, StudyRow.name).where(StudyRow.id.in_(study_ids))
        return dict(self.session.execute(query).all())

    def active(self) -> Sequence[StudyRow]:
        """List the studies that still have work, oldest first."""
        query = select(StudyRow).where(StudyRow.state.in_(ACTIVE)).order_by(StudyRow.created_at)
        return self.session.scalars(query).all()

    def submit(self, draft: StudyDraft) -> tuple[StudyRow, bool]:
        """Create a study, or find that of this idempotency key or of this very document; say whether it was created."""
        one_at_a_time(self.session, "submitting")
        known = self._with_key(draft.idempotency_key)
        if known is not None:
            _require_same_document(known, draft)
            return known, False
        same_name = self.session.scalar(select(StudyRow).where(StudyRow.name == draft.name))
        if same_name is not None and same_name.document_digest == draft.document_digest:
            return same_name, False
        if same_name is not None:
            raise Conflict(
                f"there is a study named {draft.name!r} already, of another file",
                field="study",
                hint="choose another name",
                code="name-taken",
            )
        return self._create(draft), True

    def targets(self, study_id: str) -> Sequence[StudyTargetRow]:
        """List the targets of a study that a device was found for."""
        query = select(StudyTargetRow).where(StudyTargetRow.study_id == study_id)
        return self.session.scalars(query.order_by(StudyTargetRow.target)).all()

    def bind_target(self, study_id: str, target: str, device_id: str) -> StudyTargetRow:
        """Pin the device that a target means for this study."""
        row = StudyTargetRow(study_id=study_id, target=target, device_id=device_id)
        self.session.add(row)
        self.session.flush()
        return row

    def pin_calibration(self, study_id: str, target: str, calibration_id: str) -> None:
        """Pin the calibration that a target's times are scaled by, for the whole study."""
        self.session.get_one(StudyTargetRow, (study_id, target)).calibration_id = calibration_id

    def note(self, study_id: str, detail: str) -> None:
        """Say in a line what a waiting study waits for."""
        if self.state_of(study_id) == WAITING:
            self.session.get_one(StudyRow, study_id).detail = detail

    def state_of(self, study_id: str) -> str:
        """Read a study's state as it is now, and keep it so until the transaction ends."""
        return self._locked(study_id).state

    def resume(self, study_id: str) -> bool:
        """Let a study that failed or was cancelled go on from where it stopped; False if it hasn't stopped."""
        targets = self.targets(study_id)
        pinned = bool(targets) and all(row.calibration_id is not None for row in targets)
        state = RUNNING if pinned else CALIBRATING if targets else WAITING
        if not self.move(study_id, STOPPED, state):
            return False
        self.session.get_one(StudyRow, study_id).resumed_at = database_now(self.session)
        return True

    def move(self, study_id: str, expected: Collection[str], state: str, detail: str = "") -> bool:
        """Move a study on, start and end stamped; False, and nothing changed, if it is in no `expected` state.

        Who moves a study decided by what it read a while ago, and a user may have cancelled it since.
        """
        row = self._locked(study_id)
        if row.state not in expected:
            return False
        now = database_now(self.session)
        row.state = state
        row.detail = detail
        Events(self.session).add(STUDY, study_id, study=row.name, state=state, detail=detail)
        if row.started_at is None and state != WAITING:
            row.started_at = now
        row.finished_at = None if state in ACTIVE else now
        return True

    def extend(self, study_id: str, trials: int, device_minutes: float) -> StudyRow:
        """Let a study go on for so many more trials or device-minutes; one that had no limit of minutes keeps none."""
        row = self._locked(study_id)
        row.trials_wanted += trials
        if row.device_minutes_wanted is not None:
            row.device_minutes_wanted += device_minutes
        self.move(study_id, (FINISHED,), RUNNING)
        return row

    def delete(self, study_id: str) -> None:
        """Forget a study and its trials; measurements stay, as they answer others' questions too."""
        self._locked(study_id)
        mine = select(TrialRow.id).where(TrialRow.study_id == study_id)
        for part in (TrialMeasurementRow, ExternalQualityRow):
            self.session.execute(delete(part).where(part.trial_id.in_(mine)))
        for kind in (TrialRow, StudyTargetRow):
            self.session.execute(delete(kind).where(kind.study_id == study_id))
        self.session.execute(update(JobRow).where(JobRow.study_id == study_id).values(study_id=None))
        self.session.execute(delete(LeadRow).where(LeadRow.subject == study_id))
        self.session.execute(delete(StudyRow).where(StudyRow.id == study_id))

    def _locked(self, study_id: str) -> StudyRow:
        query = select(StudyRow).where(StudyRow.id == study_id).with_for_update()
        return self.session.scalars(query.execution_options(populate_existing=True)).one()

    def _with_key(self, key: str | None) -> StudyRow | None:
        if key is None:
            return None
        return self.session.scalar(select(StudyRow).where(StudyRow.idempotency_key == key))

    def _create(self, draft: StudyDraft) -> StudyRow:
        now = database_now(self.session)
        row = StudyRow(
            id=new_id("study"),
            name=draft.name,
            idempotency_key=draft.idempotency_key,
            document=dict(draft.document),
            document_digest=draft.document_digest,
            state=WAITING,
            detail="",
            repeats_requested=0,
            priority=draft.priority,
            trials_wanted=draft.trials,
            device_minutes_wanted=draft.device_minutes,
            trials_counted=0,
            trials_done=0,
            trials_failed=0,
            front_size=0,
            created_at=now,
            resumed_at=now,
        )
        self.session.add(row)
        self.session.flush()
        Events(self.session).add(STUDY, row.id, study=row.name, state=row.state, detail="")
        return row


def _require_same_document(known: StudyRow, draft: StudyDraft) -> None:
    if known.document_digest != draft.document_digest:
        raise Conflict(
            f"this Idempotency-Key belongs to another study, {known.name!r}",
            field="Idempotency-Key",
            hint="send a new key with a new study",
            code="key-reused",
        )
