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

log = structlog.get_logger()


class BellWire:
    """Passes rings on and rings for others'. A lost one costs a second or two: who waits looks now and then anyway."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database, self._bell = database, bell
        self._own = secrets.token_hex(8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="bell", daemon=True)

    def start(self) -> None:
        """Begin to pass on; on SQLite there is one process and nothing to pass."""
        if self._database.engine.dialect.name == "postgresql":
            self._bell.passes_on(self._tell)
            self._thread.start()

    def stop(self) -> None:
        """End; rings are no longer passed on."""
        self._bell.passes_on(None)
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

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
