"""Open the database and hand out short read and write transactions."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from service.errors import BadInput, StorageFull
from service.store.blobs import Blobs

BUSY_TIMEOUT_MS = 15_000
POSTGRESQL_DISK_FULL = "53100"
WRITES = "loopfront_writes"
BLOBS, _CLOCK = "loopfront_blobs", "loopfront_clock"


class Database:
    """One engine; every unit of work is a short transaction that commits at its end.

    What is too large for a table lies in `blobs`, beside it.
    """

    def __init__(self, url: str | URL, blobs: Blobs | None = None) -> None:
        self.engine = _open_engine(url)
        self._info = {BLOBS: blobs}
        self._writing_engine = self.engine.execution_options(**{WRITES: True})

    @property
    def words(self) -> str:
        """Where the database is, without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session that sees one state of the database and changes nothing."""
        with Session(self.engine, expire_on_commit=False, info=self._info) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session that commits at the end; on SQLite it holds the write lock from its start."""
        try:
            with (
                Session(self._writing_engine, expire_on_commit=False, info=self._info) as session,
                session.begin(),
            ):
                yield session
        except OperationalError as error:
            raise _storage_error(error) from error

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def blobs_of(session: Session) -> Blobs:
    """Give the blobs beside the database."""
    blobs: Blobs | None = session.info.get(BLOBS)
    assert blobs is not None, "this database was opened without its blobs"
    return blobs


def database_now(session: Session) -> datetime:
    """Tell the time by the database's clock, in UTC: leases must not depend on which host asks.

    It is read once in a session; what has passed since is measured here.
    """
    read_at, read_s = session.info.setdefault(_CLOCK, (None, 0.0))
    if read_at is None:
        read_at, read_s = _read_clock(session), time.monotonic()
        session.info[_CLOCK] = read_at, read_s
    now: datetime = read_at + timedelta(seconds=time.monotonic() - read_s)
    return now


def _read_clock(session: Session) -> datetime:
    if session.get_bind().dialect.name == "sqlite":
        text = session.scalar(select(func.strftime("%Y-%m-%d %H:%M:%f", "now")))
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    now = session.scalar(select(func.clock_timestamp()))
    assert isinstance(now, datetime)
    return now.astimezone(UTC)


def sqlite_url(path: Path) -> URL:
    """Name a SQLite file; written as text, a `?` in its path would begin a query."""
    return URL.create("sqlite", database=str(path))


def _open_engine(url: str | URL) -> Engine:
    try:
        parsed = make_url(url)
        engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except (ArgumentError, ModuleNotFoundError) as error:
        raise BadInput(
            f"the database URL can't be used: {error}",
            field="database_url",
            hint="use sqlite:///PATH or postgresql://USER@HOST/NAME",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    # The driver's own transaction control would begin late and deferred; we say BEGIN ourselves.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that upgrades to writing can fail with "database is locked" at once, without waiting.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _storage_error(error: OperationalError) -> Exception:
    if "disk is full" in str(error.orig) or getattr(error.orig, "sqlstate", "") == POSTGRESQL_DISK_FULL:
        return StorageFull(
            "the database can't grow: the disk is full",
            hint="free some space and try again; nothing was lost",
        )
    return error
