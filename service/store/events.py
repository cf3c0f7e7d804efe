"""What happened, for those who watch: written with what it tells of, read in an order in which nothing is skipped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import cast, delete, func, literal, select, text, tuple_
from sqlalchemy.dialects.postgresql import TEXT
from sqlalchemy.orm import Session
from sqlalchemy.types import BigInteger

from service.store.database import database_now
from service.store.rows import EventRow

STUDY, TRIAL, DEVICE, JOB = "study", "trial", "device", "job"
KEPT = timedelta(days=7)
_TIDY_EVERY = 1000


@dataclass(frozen=True, order=True)
class EventPlace:
    """Where a reader is. Numbers alone would not do: of two transactions the one with the larger may commit first."""

    transaction: int
    number: int

    @classmethod
    def read(cls, written: str) -> "EventPlace":
        """Read what `str` wrote; ValueError for anything else."""
        transaction, dash, number = written.partition("-")
        if not (dash and transaction.isdecimal() and number.isdecimal() and len(written) <= 40):
            raise ValueError(written)
        return cls(int(transaction), int(number))

    def __str__(self) -> str:
        return f"{self.transaction}-{self.number}"


@dataclass(frozen=True)
class Event:
    """One thing that happened; `study_id` is None where it is of no study."""

    place: EventPlace
    kind: str
    study_id: str | None
    data: Mapping[str, Any]
    at: datetime


class Events:
    """Queries about events."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, kind: str, study_id: str | None, **data: Any) -> None:
        """Tell of something in the transaction that brings it about."""
        row = EventRow(
            transaction=_transaction(self.session),
            kind=kind,
            study_id=study_id,
            data=data,
            at=database_now(self.session),
        )
        self.session.add(row)
        self.session.flush()
        if row.number % _TIDY_EVERY == 0:
            self.session.execute(delete(EventRow).where(EventRow.at < row.at - KEPT))

    def newest(self) -> EventPlace:
        """Return the place behind everything that can be read now."""
        query = select(EventRow.transaction, EventRow.number).where(*self._is_settled())
        row = self.session.execute(
            query.order_by(EventRow.transaction.desc(), EventRow.number.desc()).limit(1)
        ).first()
        return EventPlace(*row) if row is not None else EventPlace(0, 0)

    def after(self, place: EventPlace, limit: int, study_id: str | None = None) -> Sequence[Event]:
        """List what happened behind a place, of one study or all, in the order of places."""
        query = select(EventRow).where(
            tuple_(EventRow.transaction, EventRow.number)
            > tuple_(literal(place.transaction, BigInteger), literal(place.number, BigInteger)),
            *self._is_settled(),
        )
        if study_id is not None:
            query = query.where(EventRow.study_id == study_id)
        rows = self.session.scalars(query.order_by(EventRow.transaction, EventRow.number).limit(limit))
        return [
            Event(EventPlace(row.transaction, row.number), row.kind, row.study_id, row.data, row.at)
            for row in rows
        ]

    def _is_settled(self) -> list[Any]:
        """Leave out what lies behind a transaction that may still commit: its events come first."""
        if self.session.get_bind().dialect.name == "sqlite":
            return []
        oldest = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), TEXT), BigInteger)
        return [EventRow.transaction < oldest]


def _transaction(session: Session) -> int:
    """Number this transaction in the order of PostgreSQL's snapshots; on SQLite there is one writer at a time."""
    if session.get_bind().dialect.name == "sqlite":
        return 0
    return int(session.scalar(text("SELECT pg_current_xact_id()::text")) or 0)
