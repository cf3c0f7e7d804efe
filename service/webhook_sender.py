"""The thread that tells webhooks what happened: signed, at least once, in order, and by one process at a time."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.errors import BadInput, StorageTrouble
from service.leadership import Leadership
from service.outward import OutwardAddress, Unreachable
from service.parts import Parts
from service.store.database import database_now
from service.store.events import DEVICE, STUDY, Event, EventPlace, Events
from service.store.rows import WebhookRow
from service.store.webhooks import Webhooks

STUDY_FINISHED, STUDY_FAILED, DEVICE_QUARANTINED, TEST = (
    "study.finished",
    "study.failed",
    "device.quarantined",
    "test",
)
SUBJECT = "webhooks"
LOOK_S = 2.0
_PAGE = 200
_KINDS_OF_EVENTS = {
    (STUDY, "finished"): STUDY_FINISHED,
    (STUDY, "failed"): STUDY_FAILED,
    (DEVICE, "quarantined"): DEVICE_QUARANTINED,
}

log = structlog.get_logger()


class WebhookSender:
    """Looks every few seconds for what somebody is to be told."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._leadership = Leadership(parts.database, parts.settings.lead_seconds)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Start telling."""
        self._leadership.start()
        self._thread.start()

    def stop(self) -> None:
        """End after the request under way; what is left to tell is told after the next start."""
        self._stop.set()
        self._thread.join(2)
        self._leadership.stop()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                if self._leadership.holds(SUBJECT) or self._leadership.claim(SUBJECT) is not None:
                    self._tell_all()
            except (SQLAlchemyError, StorageTrouble) as error:
                log.warning("webhooks can't be read", error=str(error).splitlines()[0])

    def _tell_all(self) -> None:
        with self._parts.database.read() as session:
            due = Webhooks(session).due()
        for row in due:
            if self._stop.is_set():
                return
            self._tell(row)

    def _tell(self, row: WebhookRow) -> None:
        """Tell one webhook what it has not been told yet, up to a failure."""
        for place, told in self._news(row):
            answer = "" if told is None else self._post(row, str(place), told)
            with self._parts.database.write() as session:
                if answer in {"", "told"}:
                    Webhooks(session).note_told(row.id, place, answer)
                else:
                    Webhooks(session).note_failure(row.id, answer)
                    return

    def _news(self, row: WebhookRow) -> Iterator[tuple[EventPlace, Mapping[str, Any] | None]]:
        """Give what a webhook asked for, and at last the place up to where there is nothing more for it."""
        with self._parts.database.read() as session:
            events = Events(session).after(EventPlace.read(row.place), _PAGE)
        for event in events:
            kind = kind_of(event)
            if kind in row.kinds:
                yield event.place, message(kind, event.at, event.data)
        if events:
            yield events[-1].place, None

    def _post(self, row: WebhookRow, place: str, told: Mapping[str, Any]) -> str:
        """Return "told", or in words what came instead."""
        key = self._parts.gatekeeper.webhook_key(row.id)
        with self._parts.database.read() as session:
            now = database_now(session)
        return post_signed(row, place, told, key, now, self._parts.settings.private_webhooks)


def kind_of(event: Event) -> str:
    """Say what an event is to a webhook; "" where it is of no interest."""
    what = event.data.get("state" if event.kind == STUDY else "change")
    return _KINDS_OF_EVENTS.get((event.kind, str(what)), "")


def message(kind: str, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    """Write what is told, as Standard Webhooks lays it out."""
    return {"type": kind, "timestamp": at.isoformat(), "data": dict(data)}


def post_signed(
    row: WebhookRow, place: str, told: Mapping[str, Any], key: bytes, now: datetime, allows_private: bool
) -> str:
    """Send a message with its signature; return "told", or in words what came instead."""
    body = json.dumps(told, separators=(",", ":")).encode()
    name, seconds = f"{row.id}-{place}", str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "loopfront",
        "webhook-id": name,
        "webhook-timestamp": seconds,
        "webhook-signature": signature(key, name, seconds, body),
    }
    try:
        status = OutwardAddress.of(row.url, allows_private).post(body, headers)
    except (BadInput, Unreachable) as trouble:
        return str(trouble)[:200]
    return "told" if 200 <= status < 300 else f"it answered {status}"


def signature(key: bytes, name: str, seconds: str, body: bytes) -> str:
    """Sign as Standard Webhooks does (v1, HMAC-SHA256): id, timestamp and body."""
    signed = hmac.new(key, f"{name}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def secret_text(key: bytes) -> str:
    """Write a key as receivers' libraries take it."""
    return f"whsec_{base64.b64encode(key).decode()}"
