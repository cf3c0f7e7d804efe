"""What endpoints ask for before they do anything: a token or a session with the right that they need."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from devices.untrusted_text import visible_line
from service.api.limits import SAFE_METHODS
from service.errors import Forbidden, NotAuthorised, ServiceError
from service.gatekeeper import Gatekeeper
from service.parts import Parts
from service.rights import Principal, Right, scopes_with
from service.store.audit import AuditLog, Deed

COOKIE = "loopfront_session"
LONGEST_ADDRESS = 60
CHANGES_NOTHING = frozenset({"validate"})
"""Endpoints that are asked with a body and change nothing."""


async def principal_of(request: Request) -> Principal:
    """Recognise who asks, by the Authorization header or by a browser's session."""
    known = getattr(request.state, "principal", None)
    if isinstance(known, Principal):
        return known
    principal = request.state.principal = await _recognised(request)
    return principal


async def may_still(request: Request, right: Right) -> bool:
    """Say whether who asked a while ago would still be answered: a stream outlives a token that was revoked."""
    try:
        return (await _recognised(request)).may(right)
    except ServiceError:
        return False


async def _recognised(request: Request) -> Principal:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    token = shown.strip() if scheme.lower() == "bearer" else ""
    if not token and (cookie := request.cookies.get(COOKIE)):
        _refuse_foreign_page(request)
        token = cookie
    gatekeeper = gatekeeper_of(request)
    principal = gatekeeper.remembered(
        token
    )  # most are: handing that to a thread would cost more than it takes
    if principal is None:
        principal = await run_in_threadpool(gatekeeper.principal, token, address_of(request))
    return principal


def gatekeeper_of(request: Request) -> Gatekeeper:
    """Give the gatekeeper of this app."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts.gatekeeper


def address_of(request: Request) -> str:
    """Say from where a request came."""
    return visible_line(request.client.host)[:LONGEST_ADDRESS] if request.client is not None else "unknown"


Asker = Annotated[Principal, Depends(principal_of)]


def needs(right: Right) -> Callable[[Request], Coroutine[Any, Any, Principal]]:
    """Give the dependency of an endpoint that asks for a right."""

    async def require(request: Request) -> Principal:
        principal = await principal_of(request)
        if not principal.may(right):
            scopes = " or ".join(scopes_with(right))
            raise Forbidden(
                f"the token {principal.name!r} may not {right.value}",
                field="Authorization",
                hint=f"use one with the scope {scopes}",
            )
        return principal

    return require


reads = Depends(needs(Right.READ))
submits = Depends(needs(Right.SUBMIT))
manages_devices = Depends(needs(Right.MANAGE_DEVICES))
administers = Depends(needs(Right.ADMINISTER))
works = Depends(needs(Right.WORK))


class AuditedRoute(APIRoute):
    """Writes every change that somebody asked for into the audit log, refused ones too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give the handler that FastAPI calls."""
        handle = super().get_route_handler()

        async def audited(request: Request) -> Response:
            if request.method in SAFE_METHODS or self.name in CHANGES_NOTHING:
                return await handle(request)
            status = 500
            try:
                response = await handle(request)
                status = response.status_code
                return response
            except ServiceError as error:
                status = error.status
                raise
            except RequestValidationError:
                status = 422
                raise
            except HTTPException as error:
                status = error.status_code
                raise
            finally:
                await run_in_threadpool(_note, request, self.name, status)

        return audited


def _note(request: Request, action: str, status: int) -> None:
    principal = getattr(request.state, "principal", None)
    if principal is None:
        return  # who shows no token did nothing
    parts: Parts = request.app.state.parts
    subject = "/".join(str(value) for value in request.path_params.values())
    deed = Deed(
        principal.name, principal.token_id, action, visible_line(subject)[:200], status, address_of(request)
    )
    with parts.database.write() as session:
        AuditLog(session).add(deed)


def _refuse_foreign_page(request: Request) -> None:
    """A browser sends its cookie whoever asks it to: changes must come from a page of ours, which says so."""
    if request.method not in SAFE_METHODS and not request.headers.get("origin"):
        raise NotAuthorised(
            "a change by a browser's session must come from a page of this service",
            field="Origin",
            hint="show a token instead: Authorization: Bearer ...",
        )
