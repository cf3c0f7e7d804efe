"""Insert a row that another process may be inserting at the same moment."""

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.store.database import is_sqlite
from service.store.rows import Row


def insert_unless_there(session: Session, kind: type[Row], **values: Any) -> bool:
    """Insert a row unless its key, or another unique value of it, is there; tell whether it was inserted."""
    insert = sqlite.insert(kind) if is_sqlite(session) else postgresql.insert(kind)
    key = inspect(kind).primary_key[0]
    inserted = insert.values(**values).on_conflict_do_nothing().returning(key)
    return session.execute(inserted).first() is not None
