"""Webhooks: whom to tell of what, and how far each has been told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from service.errors import NotFound
from service.store.database import database_now
from service.store.events import EventPlace, Events
from service.store.identifiers import new_id
from service.store.rows import WebhookRow

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)
GIVEN_UP_AFTER = 40
"""Failures in a row: about a day and a half."""


@dataclass(frozen=True)
class WebhookDraft:
    """A webhook to be: where to send what, and who asked for that."""

    url: str
    kinds: tuple[str, ...]
    created_by: str


class Webhooks:
    """Queries about webhooks."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, draft: WebhookDraft) -> WebhookRow:
        """Tell somebody what happens from now on."""
        row = WebhookRow(
            id=new_id("webhook"),
            url=draft.url,
            kinds=list(draft.kinds),
            created_by=draft.created_by,
            created_at=database_now(self.session),
            place=str(Events(self.session).newest()),
            failures=0,
            last_answer="",
        )
        self.session.add(row)
        self.session.flush()
        return row

    def get(self, webhook_id: str) -> WebhookRow:
        """Read one webhook."""
        row = self.session.get(WebhookRow, webhook_id)
        if row is None:
            raise NotFound(
                f"there is no webhook {webhook_id!r}", field="webhook_id", hint="`loopfront webhook list`"
            )
        return row

    def all(self) -> Sequence[WebhookRow]:
        """List every webhook, oldest first."""
        return self.session.scalars(select(WebhookRow).order_by(WebhookRow.created_at)).all()

    def due(self) -> Sequence[WebhookRow]:
        """List those that may be told something now."""
        now = database_now(self.session)
        is_due = or_(WebhookRow.next_at.is_(None), WebhookRow.next_at <= now)
        return self.session.scalars(select(WebhookRow).where(WebhookRow.given_up_at.is_(None), is_due)).all()

    def remove(self, webhook_id: str) -> WebhookRow:
        """Tell somebody nothing more."""
        row = self.get(webhook_id)
        self.session.delete(row)
        return row

    def note_told(self, webhook_id: str, place: EventPlace, answer: str) -> None:
        """Note up to where somebody was told; "" where there was nothing for them."""
        row = self.session.get(WebhookRow, webhook_id)
        if row is None:
            return
        row.place, row.failures, row.next_at = str(place), 0, None
        if answer:
            row.last_answer, row.last_at = answer, database_now(self.session)

    def note_failure(self, webhook_id: str, answer: str) -> None:
        """Note that somebody could not be told; the next try comes ever later, and at last none."""
        row = self.session.get(WebhookRow, webhook_id)
        if row is None:
            return
        now = database_now(self.session)
        row.last_answer, row.last_at = answer, now
        row.failures += 1
        row.next_at = now + min(FIRST_PAUSE * 2 ** min(row.failures - 1, 20), LONGEST_PAUSE)
        if row.failures >= GIVEN_UP_AFTER:
            row.given_up_at = now
