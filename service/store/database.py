"""Open the database and hand out short read and write transactions."""

import functools
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from service.errors import BadInput, StorageFull
from service.store.blobs import Blobs

BUSY_TIMEOUT_MS = 15_000
POSTGRESQL_DISK_FULL = "53100"
WRITES = "loopfront_writes"
BLOBS, _CLOCK = "loopfront_blobs", "loopfront_clock"
_RESTS_SINCE_S = "loopfront_rests_since"
CLOCK_READ_EVERY_S = 0.2
PING_AFTER_S = 1.0
KEPT_CONNECTIONS, MORE_CONNECTIONS = 20, 20
"""Those beyond the kept ones are closed after use, and what the database has planned on them is lost."""


class Database:
    """One engine; every unit of work is a short transaction that commits at its end.

    What is too large for a table lies in `blobs`, beside it.
    """

    def __init__(self, url: str | URL, blobs: Blobs | None = None) -> None:
        self.engine = _open_engine(url)
        self._info = {BLOBS: blobs, _CLOCK: _Clock()}
        self._reading_engine = self._engine_for_reading()
        self._writing_engine = self.engine.execution_options(**{WRITES: True})
        # SQLite lets one write at a time and makes the others try again ever later; in turns nobody is overtaken.
        self._turn: AbstractContextManager[object] = (
            threading.Lock() if self.has_one_writer else nullcontext()
        )

    @property
    def has_one_writer(self) -> bool:
        """Tell whether whoever writes makes all others wait who do."""
        return self.engine.dialect.name == "sqlite"

    @property
    def words(self) -> str:
        """Where the database is, without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session that changes nothing."""
        with Session(
            self._reading_engine, expire_on_commit=False, autoflush=False, info=self._info
        ) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session that commits at the end; on SQLite it holds the write lock from its start."""
        try:
            with (
                self._turn,
                Session(self._writing_engine, expire_on_commit=False, info=self._info) as session,
                session.begin(),
            ):
                yield session
        except OperationalError as error:
            raise _storage_error(error) from error

    def _engine_for_reading(self) -> Engine:
        if self.has_one_writer:
            return self.engine  # a transaction sees one state of the database throughout
        # PostgreSQL's transactions see what was committed before each statement either way, and ending them with the
        # customary rollback would make the driver forget its prepared statements: planning them took longest.
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

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

    It is read a few times a second; what has passed since is measured here.
    """
    clock: _Clock = session.info.setdefault(_CLOCK, _Clock())
    return clock.now(session)


def is_sqlite(session: Session) -> bool:
    """Tell whether a session's database is SQLite, where one transaction at a time writes."""
    return session.get_bind().dialect.name == "sqlite"


def one_at_a_time(session: Session, what: str) -> None:
    """Let one transaction at a time do something, such as looking for a name and then taking it."""
    if not is_sqlite(session):
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"loopfront {what}"))))


class _Clock:
    """The database's clock as it was read last."""

    def __init__(self) -> None:
        self._read: tuple[datetime, float] | None = None

    def now(self, session: Session) -> datetime:
        read = self._read
        if read is None or time.monotonic() - read[1] >= CLOCK_READ_EVERY_S:
            read = self._read = _read_clock(session), time.monotonic()
        read_at, read_s = read
        return read_at + timedelta(seconds=time.monotonic() - read_s)


def _read_clock(session: Session) -> datetime:
    if is_sqlite(session):
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
        engine = create_engine(parsed, pool_size=KEPT_CONNECTIONS, max_overflow=MORE_CONNECTIONS)
    except (ArgumentError, ModuleNotFoundError) as error:
        raise BadInput(
            f"the database URL can't be used: {error}",
            field="database_url",
            hint="use sqlite:///PATH or postgresql://USER@HOST/NAME",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "checkin", _note_rest)
        event.listen(engine, "checkout", functools.partial(_ping_after_rest, engine.dialect))
    return engine


def _note_rest(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info[_RESTS_SINCE_S] = time.monotonic()


def _ping_after_rest(
    dialect: Dialect, connection: DBAPIConnection, record: ConnectionPoolEntry, _lent: PoolProxiedConnection
) -> None:
    # Before every use, as the pool itself would do it, a ping would be a tenth of all that a lease costs.
    rested_s = time.monotonic() - record.info.get(_RESTS_SINCE_S, math.inf)
    if rested_s > PING_AFTER_S and not _answers(dialect, connection):
        raise InvalidatePoolError


def _answers(dialect: Dialect, connection: DBAPIConnection) -> bool:
    try:
        return dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error:
        return False


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
