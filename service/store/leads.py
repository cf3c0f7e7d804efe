"""Who leads what: a study is moved on by one process at a time, and by another soon after that one died."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.errors import LeadLost
from service.store.database import Database, database_now
from service.store.inserting import insert_unless_there
from service.store.rows import LeadRow

SINGLES = "single measurements"
"""The subject under which requests and profiles are led, all together."""


class Leads:
    """Queries about leads; as with leases, only a newer token ends one."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def claim(self, subject: str, leader: str, lead_seconds: float) -> int | None:
        """Take a lead that is free, has expired or is one's own; return its new token, None while another has it."""
        now = database_now(self.session)
        insert_unless_there(
            self.session, LeadRow, subject=subject, leader="", token=0, expires_at=now, claimed_at=now
        )
        # Skipping what is locked: its leader is just writing, so it is not to be had.
        query = select(LeadRow).where(LeadRow.subject == subject).with_for_update(skip_locked=True)
        row = self.session.scalar(query.execution_options(populate_existing=True))
        if row is None or (row.leader not in {"", leader} and row.expires_at > now):
            return None
        row.leader, row.claimed_at = leader, now
        row.token += 1
        row.expires_at = now + timedelta(seconds=lead_seconds)
        return row.token

    def renew(self, held: Mapping[str, int], lead_seconds: float) -> set[str]:
        """Extend the leads of these subjects and tokens; return the subjects that are still held."""
        until = database_now(self.session) + timedelta(seconds=lead_seconds)
        rows = self._locked(sorted(held))
        kept = [row for row in rows if row.token == held[row.subject]]
        for row in kept:
            row.expires_at = until
        return {row.subject for row in kept}

    def require(self, subject: str, token: int) -> None:
        """Keep a lead until the transaction ends; raises LeadLost if a newer token was granted."""
        rows = self._locked([subject])
        if not rows or rows[0].token != token:
            raise LeadLost(f"{subject} is led by another process now")

    def release(self, held: Mapping[str, int]) -> None:
        """Give leads back, for others to take at once."""
        for row in self._locked(sorted(held)):
            if row.token == held[row.subject]:
                row.leader = ""

    def holder(self, subject: str) -> tuple[str, datetime] | None:
        """Say who leads a subject and until when, None where nobody does."""
        row = self.session.get(LeadRow, subject)
        if row is None or not row.leader or row.expires_at <= database_now(self.session):
            return None
        return row.leader, row.expires_at

    def _locked(self, subjects: Sequence[str]) -> Sequence[LeadRow]:
        """Lock rows in the order of their names: two that begin at different ends would wait for ever."""
        query = select(LeadRow).where(LeadRow.subject.in_(subjects)).order_by(LeadRow.subject)
        return self.session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()


class LedDatabase(Database):
    """The database as a leader sees it: what it writes counts only while it leads."""

    def __init__(self, database: Database, subject: str, token: int) -> None:
        self.engine, self._info = database.engine, database._info
        self._reading_engine = database._reading_engine
        self._database, self._subject, self._token = database, subject, token

    @contextmanager
    def write(self) -> Iterator[Session]:
        """As of any database; raises LeadLost before anything is written if another process leads now."""
        with self._database.write() as session:
            Leads(session).require(self._subject, self._token)
            yield session
