"""What happened, for those who watch: written with what it tells of, read in an order in which nothing is skipped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from typing import cast as typed

from sqlalchemy import (
    ColumnElement,
    Table,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import TEXT
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import BigInteger

from service.store.database import database_now, is_sqlite
from service.store.rows import EventRow

STUDY, TRIAL, DEVICE, JOB = "study", "trial", "device", "job"
KEPT = timedelta(days=7)
LARGEST = 2**63 - 1

_EVENTS = typed(Table, EventRow.__table__)


class _TransactionNumber(FunctionElement[int]):
    """The number of this transaction, in the order of PostgreSQL's snapshots."""

    type = BigInteger()
    inherit_cache = True


@compiles(_TransactionNumber)
def _on_postgresql(*_: object, **_options: object) -> str:
    return "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"


@compiles(_TransactionNumber, "sqlite")
def _on_sqlite(*_: object, **_options: object) -> str:
    return "0"  # there is one writer at a time


ADD_EVENT = insert(_EVENTS).values(
    transaction=_TransactionNumber(),
    kind=bindparam("event_kind"),
    study_id=bindparam("event_study"),
    data=bindparam("event_told", type_=_EVENTS.c.data.type),
    at=bindparam("at_time"),
)


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
        place = cls(int(transaction), int(number))
        if max(place.transaction, place.number) > LARGEST:
            raise ValueError(written)
        return place

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
        told = {**event_told(kind, study_id, **data), "at_time": database_now(self.session)}
        self.session.execute(ADD_EVENT, told)

    def forget_old(self) -> None:
        """Remove what is no longer kept, but never the newest: SQLite would give its number again."""
        newest = select(func.max(EventRow.number)).scalar_subquery()
        is_old = EventRow.at < database_now(self.session) - KEPT
        self.session.execute(delete(EventRow).where(is_old, EventRow.number < newest))

    def mend_order(self) -> None:
        """Put events of a database that was restored elsewhere first: its transactions had higher numbers there."""
        if not is_sqlite(self.session):
            later = EventRow.transaction > _end_of_snapshot(func.pg_snapshot_xmax)
            self.session.execute(update(EventRow).where(later).values(transaction=0))

    def newest(self) -> EventPlace:
        """Return the place behind everything that can be read now."""
        query = select(EventRow.transaction, EventRow.number).where(*self._is_settled())
        row = self.session.execute(
            query.order_by(EventRow.transaction.desc(), EventRow.number.desc()).limit(1)
        ).first()
        return EventPlace(*row) if row is not None else EventPlace(0, 0)

    def after(self, place: EventPlace, limit: int, study_id: str | None = None) -> Sequence[Event]:
        """List what happened behind a place, of one study or all, in the order of places."""
        place = self._place_here(place)
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

    def _place_here(self, place: EventPlace) -> EventPlace:
        """Give the place that one of a database means which was restored elsewhere since, see `mend_order`."""
        if is_sqlite(self.session) or place.transaction == 0:
            return place
        current = self.session.scalar(select(_end_of_snapshot(func.pg_snapshot_xmax)))
        return place if place.transaction <= (current or 0) else EventPlace(0, place.number)

    def _is_settled(self) -> list[Any]:
        """Leave out what lies behind a transaction that may still commit: its events come first."""
        if is_sqlite(self.session):
            return []
        return [EventRow.transaction < _end_of_snapshot(func.pg_snapshot_xmin)]


def _end_of_snapshot(end: Callable[[ColumnElement[Any]], ColumnElement[Any]]) -> ColumnElement[int]:
    """Give the oldest transaction that is still open (xmin), or the first one that has not begun yet (xmax)."""
    return cast(cast(end(func.pg_current_snapshot()), TEXT), BigInteger)


def event_told(kind: str, study_id: str | None, **data: Any) -> dict[str, Any]:
    """Give what the statements that add an event ask for, beside the time."""
    return {"event_kind": kind, "event_study": study_id, "event_told": data}
