"""Who did what: a log in which every line carries the hash of the one before, so that none can be changed unseen."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.store.database import database_now, one_at_a_time
from service.store.rows import AuditRow

START = "0" * 64


@dataclass(frozen=True)
class Deed:
    """What somebody asked for, and the status that it was answered with."""

    actor: str
    token_id: str
    action: str
    subject: str
    status: int
    address: str = ""


@dataclass(frozen=True)
class Broken:
    """The first line whose hash isn't that of its content and of the line before."""

    number: int


class AuditLog:
    """Queries about the log."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, deed: Deed) -> None:
        """Append a line."""
        one_at_a_time(self.session, "auditing")
        newest = self._newest()
        row = AuditRow(
            number=newest.number + 1 if newest is not None else 1,
            at=database_now(self.session),
            previous_hash=newest.hash if newest is not None else START,
            **vars(deed),
        )
        row.hash = _hash(row)
        self.session.add(row)
        self.session.flush()

    def page(self, before: int | None, limit: int) -> Sequence[AuditRow]:
        """List lines, the newest first, from behind a number."""
        query = select(AuditRow).order_by(AuditRow.number.desc()).limit(limit)
        return self.session.scalars(query if before is None else query.where(AuditRow.number < before)).all()

    def verify(self) -> tuple[int, str] | Broken:
        """Read the whole log; return how many lines there are and the last one's hash, or where it is broken.

        Lines that were cut off at the end leave no trace in it: compare count and hash with what was noted before.
        """
        previous, number = START, 0
        for row in self._in_order():
            if row.number != number + 1 or row.previous_hash != previous or row.hash != _hash(row):
                return Broken(number + 1)
            previous, number = row.hash, row.number
        return number, previous

    def _newest(self) -> AuditRow | None:
        return self.session.scalar(select(AuditRow).order_by(AuditRow.number.desc()).limit(1))

    def _in_order(self) -> Iterator[AuditRow]:
        last = 0
        while rows := self.session.scalars(
            select(AuditRow).where(AuditRow.number > last).order_by(AuditRow.number).limit(1000)
        ).all():
            yield from rows
            last = rows[-1].number


def _hash(row: AuditRow) -> str:
    content: Mapping[str, Any] = {
        "number": row.number,
        "at": row.at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "actor": row.actor,
        "token_id": row.token_id,
        "action": row.action,
        "subject": row.subject,
        "status": row.status,
        "address": row.address,
        "previous": row.previous_hash,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
