"""Carries the bell from process to process, where several share a PostgreSQL: whoever waits looks again at once."""

import contextlib
import secrets
import threading

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service.bell import Bell
from service.store.database import Database

CHANNEL = "loopfront_bell"
LISTEN_S = 0.5
AGAIN_S = 2.0
APART_S = 0.05
"""However often it is rung here, others are told no more often than this."""

log = structlog.get_logger()


class BellWire:
    """Passes rings on and rings for others'. A lost one costs a second or two: who waits looks now and then anyway."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database, self._bell = database, bell
        self._own = secrets.token_hex(8)
        self._stop, self._rung = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._listen, "bell"), (self._pass_on, "bell out"))
        ]

    def start(self) -> None:
        """Begin to pass on; on SQLite there is one process and nothing to pass."""
        if self._database.engine.dialect.name == "postgresql":
            self._bell.passes_on(self._rung.set)
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """End; rings are no longer passed on."""
        self._bell.passes_on(None)
        self._stop.set()
        self._rung.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)

    def _pass_on(self) -> None:
        while not self._stop.is_set():
            self._rung.wait()
            self._rung.clear()
            self._tell()
            self._stop.wait(APART_S)

    def _tell(self) -> None:
        with contextlib.suppress(SQLAlchemyError), self._database.engine.begin() as connection:
            connection.execute(
                text("SELECT pg_notify(:channel, :own)"), {"channel": CHANNEL, "own": self._own}
            )

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen_once()
            except psycopg.OperationalError as error:
                log.warning("the database is away", error=str(error).splitlines()[0])
                self._stop.wait(AGAIN_S)

    def _listen_once(self) -> None:
        url = self._database.engine.url.set(drivername="postgresql")
        address = url.render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self._bell.ring_here()  # for what was missed while nobody listened
            while not self._stop.is_set():
                for told in connection.notifies(timeout=LISTEN_S):
                    if told.payload != self._own:
                        self._bell.ring_here()
