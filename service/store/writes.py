"""Writes that belong together: one statement, and so one round trip, on PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Insert, Update, literal, select
from sqlalchemy.orm import Session

from service.store.database import is_sqlite

Write = Insert | Update


class Writes:
    """Writes of different rows, under parameters whose names mean the same in all of them.

    PostgreSQL runs them as parts of one query, SQLite, which has no such parts and no round trips, one by one.
    `sqlite` and `postgresql` are one write more, where the two say it differently.
    """

    def __init__(self, *writes: Write, sqlite: Write | None = None, postgresql: Write | None = None) -> None:
        on_sqlite = [*writes, *([sqlite] if sqlite is not None else [])]
        self._apart = [(write, frozenset(write.compile().binds)) for write in on_sqlite]
        self._together = _together([*writes, *([postgresql] if postgresql is not None else [])])

    def execute(self, session: Session, given: Mapping[str, Any]) -> Any:
        """Run them; return the one value that the first of them returns, None where it returns none."""
        if not is_sqlite(session):
            return session.execute(self._together, dict(given)).scalar_one()
        values = []
        for write, names in self._apart:
            result = session.execute(write, {name: value for name, value in given.items() if name in names})
            values.append(result.scalar_one() if write._returning else None)
        return values[0]


def _together(writes: Sequence[Write]) -> Executable:
    parts = [write.cte(f"write_{number}") for number, write in enumerate(writes)]
    if writes[0]._returning:
        return select(parts[0]).add_cte(*parts[1:])
    return select(literal(None)).add_cte(*parts)
