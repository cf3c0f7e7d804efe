"""Writes that belong together: one statement, and so one round trip, on PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Delete, Executable, Insert, Update, literal, select
from sqlalchemy.orm import Session

Write = Insert | Update | Delete


class Writes:
    """Writes of different rows, under parameters whose names mean the same in all of them.

    PostgreSQL runs them as parts of one query, SQLite, which has no such parts and no round trips, one by one.
    """

    def __init__(self, sqlite: Sequence[Write], postgresql: Sequence[Write]) -> None:
        self._apart = [(write, frozenset(write.compile().binds)) for write in sqlite]
        self._together = _together(postgresql)

    def execute(self, session: Session, given: Mapping[str, Any]) -> Any:
        """Run them; return the one value that the first of them returns, None where it returns none."""
        if session.get_bind().dialect.name != "sqlite":
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
