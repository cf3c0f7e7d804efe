"""Many rows of a few numbers: with PostgreSQL it takes longer to make objects of them than to find them."""

from typing import Any

from pydantic_core import from_json
from sqlalchemy import Select, Text, cast, func
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import SQLColumnExpression

from service.store.database import is_sqlite


def number_rows(
    session: Session, query: Select[Any], *columns: SQLColumnExpression[Any]
) -> list[tuple[float, ...]]:
    """Read these numbers of every row that `query` finds, sorted; a row that lacks one is left out.

    `query` names no columns yet. PostgreSQL gives all as one text, which is read at once; SQLite is no faster so, and
    rounds what it writes as text.
    """
    if is_sqlite(session):
        rows = [tuple(row) for row in session.execute(query.add_columns(*columns))]
    else:
        text = cast(func.json_agg(func.json_build_array(*columns)), Text)
        rows = [tuple(row) for row in from_json(session.scalar(query.add_columns(text)) or "[]")]
    return sorted(row for row in rows if None not in row)
