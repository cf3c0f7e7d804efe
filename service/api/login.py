"""Logging a browser in and out: by a link that counts once, or by pasting a token."""

from typing import Annotated
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from reports.pages import render_login
from service.api.authorisation import COOKIE, address_of, gatekeeper_of
from service.errors import ServiceError
from service.gatekeeper import SESSION_LIVES

router = APIRouter(include_in_schema=False)


class NotLoggedIn(Exception):
    """A page was asked for without a session: the browser is sent to log in, and comes back afterwards."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def to_login(_request: Request, error: Exception) -> Response:
    """Send the browser to log in."""
    assert isinstance(error, NotLoggedIn)
    return RedirectResponse(f"/login?next={quote(error.path, safe='')}", status_code=303)


@router.get("/login")
async def login_page(
    request: Request,
    link: Annotated[str, Query(max_length=200)] = "",
    back_to: Annotated[str, Query(max_length=500, alias="next")] = "/",
) -> Response:
    """Show the form, or log in at once by a link."""
    if not link:
        return HTMLResponse(render_login(_own_path(back_to), ""), headers=_NEVER_KEPT)
    return await _log_in(request, link, _own_path(back_to))


@router.post("/login")
async def login(request: Request) -> Response:
    """Log in by the token that was pasted into the form."""
    form = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=10)
    return await _log_in(request, form.get("token", [""])[0].strip(), _own_path(form.get("next", ["/"])[0]))


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End the session, and forget it in this browser."""
    if cookie := request.cookies.get(COOKIE):
        await run_in_threadpool(gatekeeper_of(request).end_session, cookie)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE)
    return response


async def _log_in(request: Request, token: str, path: str) -> Response:
    try:
        session = await run_in_threadpool(gatekeeper_of(request).session, token, address_of(request))
    except ServiceError as error:
        return HTMLResponse(render_login(path, error.detail), status_code=error.status, headers=_NEVER_KEPT)
    response = RedirectResponse(path, status_code=303, headers=_NEVER_KEPT)
    response.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION_LIVES.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


# Not no-referrer: with it browsers say `Origin: null` of our own form, as they would of a foreign page's.
_NEVER_KEPT = {"Cache-Control": "no-store", "Referrer-Policy": "same-origin"}


def _own_path(path: str) -> str:
    """Go nowhere but to a page of ours: `//host` and `https:` are other sites, and so is what browsers read so."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own else "/"
