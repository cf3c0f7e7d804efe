"""Webhooks: who is told when a study ends or a device is quarantined."""

from typing import Annotated

from fastapi import APIRouter, Path

from service.api.authorisation import Asker, AuditedRoute, administers
from service.api.dependencies import ServiceParts
from service.api.schemas import WebhookGiven, WebhookMade, WebhookOut, WebhookTested
from service.outward import OutwardAddress
from service.store.database import database_now
from service.store.webhooks import WebhookDraft, Webhooks
from service.webhook_sender import TEST, message, post_signed, secret_text

router = APIRouter(
    prefix="/webhooks", tags=["webhooks"], dependencies=[administers], route_class=AuditedRoute
)
WebhookId = Annotated[str, Path(max_length=100)]


@router.post("", status_code=201)
def create(given: WebhookGiven, parts: ServiceParts, asker: Asker) -> WebhookMade:
    """Have a URL told of what happens from now on; the secret of its signatures is shown this once."""
    OutwardAddress.of(given.url, parts.settings.private_webhooks)
    with parts.database.write() as session:
        row = Webhooks(session).add(WebhookDraft(given.url, tuple(given.kinds), asker.name))
        shown = WebhookOut.model_validate(row)
    return WebhookMade(**shown.model_dump(), secret=secret_text(parts.gatekeeper.webhook_key(row.id)))


@router.get("")
def list_webhooks(parts: ServiceParts) -> list[WebhookOut]:
    """List webhooks, with how the last request went."""
    with parts.database.read() as session:
        return [WebhookOut.model_validate(row) for row in Webhooks(session).all()]


@router.delete("/{webhook_id}")
def remove(webhook_id: WebhookId, parts: ServiceParts) -> WebhookOut:
    """Tell a URL nothing more."""
    with parts.database.write() as session:
        return WebhookOut.model_validate(Webhooks(session).remove(webhook_id))


@router.post("/{webhook_id}/test")
def test(webhook_id: WebhookId, parts: ServiceParts) -> WebhookTested:
    """Send a message of the kind `test`, and say how it was answered."""
    with parts.database.read() as session:
        row, now = Webhooks(session).get(webhook_id), database_now(session)
    key = parts.gatekeeper.webhook_key(row.id)
    told = message(TEST, now, {"webhook": row.id})
    answer = post_signed(row, f"test-{int(now.timestamp())}", told, key, now, parts.settings.private_webhooks)
    return WebhookTested(told=answer == "told", answer=answer)
