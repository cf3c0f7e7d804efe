"""What this process leads: claimed from the database, kept alive from a thread of its own, given back at the end."""

import contextlib
import os
import secrets
import socket
import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.errors import StorageTrouble
from service.store.database import Database
from service.store.leads import Leads, LedDatabase

RENEWALS_PER_LEAD = 3

log = structlog.get_logger()


class Leadership:
    """Leads of one process. One that dies loses them when they expire; on SQLite, where it is alone, at once."""

    def __init__(self, database: Database, lead_seconds: float) -> None:
        self._database, self._lead_seconds = database, lead_seconds
        is_alone = database.engine.dialect.name == "sqlite"
        self.leader = "loopfront up" if is_alone else _name_of_process()
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="leads", daemon=True)

    def start(self) -> None:
        """Begin to keep alive what is claimed."""
        self._thread.start()

    def stop(self) -> None:
        """Give everything back, for other processes to go on."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)
        with self._lock, contextlib.suppress(SQLAlchemyError, StorageTrouble):
            held, self._held = self._held, {}
            with self._database.write() as session:
                Leads(session).release(held)

    def holds(self, subject: str) -> bool:
        """Say whether this process leads a subject, as far as it knows."""
        with self._lock:
            return subject in self._held

    def claim(self, subject: str) -> LedDatabase | None:
        """Lead a subject if nobody else does; what is written through the answer counts only while that lasts."""
        with self._database.write() as session:
            token = Leads(session).claim(subject, self.leader, self._lead_seconds)
        if token is None:
            return None
        with self._lock:
            self._held[subject] = token
        return LedDatabase(self._database, subject, token)

    def give_back(self, subject: str) -> None:
        """Lead a subject no longer."""
        with self._lock:
            token = self._held.pop(subject, None)
        if token is not None:
            with self._database.write() as session:
                Leads(session).release({subject: token})

    def _keep_alive(self) -> None:
        while not self._stop.wait(self._lead_seconds / RENEWALS_PER_LEAD):
            with self._lock:
                held = dict(self._held)
            if held:
                self._renew(held)

    def _renew(self, held: dict[str, int]) -> None:
        try:
            with self._database.write() as session:
                kept = Leads(session).renew(held, self._lead_seconds)
        except (SQLAlchemyError, StorageTrouble) as error:
            # Leading goes on: it counts unless someone else got a newer token.
            log.warning("leads not renewed", error=str(error).splitlines()[0])
            return
        with self._lock:
            for subject in held.keys() - kept:
                if self._held.get(subject) == held[subject]:
                    del self._held[subject]


def _name_of_process() -> str:
    return f"{socket.gethostname()[:100]}:{os.getpid()}:{secrets.token_hex(4)}"
