"""Tokens of people and of agents: made, listed, revoked; links that log a browser in."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path

from service.api.authorisation import Asker, AuditedRoute, administers, manages_devices, reads
from service.api.dependencies import ServiceParts
from service.api.schemas import EnrolmentMade, LinkMade, TokenGiven, TokenMade, TokenOut
from service.errors import Forbidden
from service.gatekeeper import ENROLMENT_LIVES, LINK_LIVES
from service.rights import Right, Scope
from service.store.tokens import TokenDraft, Tokens
from service.token_text import TokenKind

router = APIRouter(tags=["tokens"], route_class=AuditedRoute)


@router.post("/tokens", dependencies=[administers], status_code=201)
def create(given: TokenGiven, parts: ServiceParts, asker: Asker) -> TokenMade:
    """Make a token for a person or a program; it is shown this once."""
    lives = timedelta(days=given.days) if given.days is not None else None
    draft = TokenDraft(given.name, TokenKind.USER, tuple(given.scopes), lives, asker.token_id)
    token_id, token = parts.gatekeeper.make(draft)
    with parts.database.read() as session:
        row = Tokens(session).get(token_id)
        return TokenMade(**TokenOut.model_validate(row).model_dump(), token=token)


@router.get("/tokens", dependencies=[administers])
def list_tokens(parts: ServiceParts) -> list[TokenOut]:
    """List the tokens of people and agents, ended ones too; never the tokens themselves."""
    with parts.database.read() as session:
        rows = Tokens(session).all((TokenKind.USER, TokenKind.AGENT, TokenKind.ENROLMENT))
        return [TokenOut.model_validate(row) for row in rows]


@router.delete("/tokens/{token_id}", dependencies=[administers])
def revoke(token_id: Annotated[str, Path(max_length=100)], parts: ServiceParts) -> TokenOut:
    """End a token, and the sessions that were begun with it."""
    with parts.database.write() as session:
        shown = TokenOut.model_validate(Tokens(session).revoke(token_id))
    parts.gatekeeper.forget(token_id)
    return shown


@router.post("/enrolments", dependencies=[manages_devices], status_code=201)
def let_an_agent_enrol(parts: ServiceParts, asker: Asker) -> EnrolmentMade:
    """Make a code with which one agent gets a token of its own within the hour."""
    draft = TokenDraft("enrolment", TokenKind.ENROLMENT, (), ENROLMENT_LIVES, asker.token_id)
    return EnrolmentMade(code=parts.gatekeeper.make(draft)[1], expires_in_s=ENROLMENT_LIVES.total_seconds())


@router.post("/links", dependencies=[reads], status_code=201)
def make_link(parts: ServiceParts, asker: Asker) -> LinkMade:
    """Make a link that logs a browser in once, with the rights of the one who asks."""
    if not asker.may(Right.READ) or Scope.AGENT in asker.scopes:
        raise Forbidden("an agent's token opens no pages", field="Authorization", hint="use a user's token")
    code = parts.gatekeeper.link(asker)
    return LinkMade(path=f"/login?link={code}", expires_in_s=LINK_LIVES.total_seconds())


@router.get("/whoami", dependencies=[reads])
def who_am_i(asker: Asker) -> dict[str, object]:
    """Say whose token is shown, and what it may."""
    return {"name": asker.name, "scopes": list(asker.scopes)}
