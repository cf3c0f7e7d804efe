"""Answer every error as problem+json with a stable code, the field and a way out."""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError
from starlette.exceptions import HTTPException

from service.errors import BadInput, ServiceError
from service.store.identifiers import new_id

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"


class ProblemResponse(JSONResponse):
    """A problem+json body (RFC 9457)."""

    media_type = MEDIA_TYPE


def problem(error: ServiceError) -> ProblemResponse:
    """Write a service error as a response."""
    content = {
        "type": f"urn:loopfront:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "field": error.field,
        "hint": error.hint,
    }
    return ProblemResponse(content, status_code=error.status)


def install(app: FastAPI) -> None:
    """Register the handlers on `app`."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(SQLAlchemyError, _database_error)
    app.add_exception_handler(Exception, _unexpected_error)


async def _service_error(_request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, ServiceError)
    return problem(error)


async def _invalid_request(_request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    first: Mapping[str, Any] = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part != "body")
    found = _ServiceProblem(_told(first), field=field, hint="see /api/v1/openapi.json for what is expected")
    return problem(found)


class _ServiceProblem(ServiceError):
    status = 422
    code = "invalid-request"
    title = "The request can't be used"


def _told(error: Mapping[str, Any]) -> str:
    given = repr(error.get("input"))
    shown = given if len(given) <= 100 else given[:97] + "..."
    return f"{error['msg']} (got {shown})"


async def _http_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    found = ServiceError(
        f"{error.detail}: {request.method} {request.url.path[:200]}",
        code=f"http-{error.status_code}",
        hint="see /api/v1/openapi.json for what there is",
    )
    found.status = error.status_code
    found.title = str(error.detail)
    response = problem(found)
    response.headers.update(error.headers or {})
    return response


async def _database_error(request: Request, error: Exception) -> ProblemResponse:
    if isinstance(error, DataError):  # such as a text with a NUL, which PostgreSQL holds none of
        return problem(BadInput("it holds a value that can't be stored", hint="leave out NUL characters"))
    if isinstance(error, IntegrityError | ProgrammingError):
        return await _unexpected_error(request, error)
    log.error("database error", error=str(error))
    found = ServiceError(
        f"the database can't answer now: {type(error).__name__}",
        code="database-unavailable",
        hint="try again; nothing that was stored is lost",
    )
    found.status = 503
    found.title = "The database can't answer now"
    return problem(found)


async def _unexpected_error(request: Request, error: Exception) -> ProblemResponse:
    """Answer our own fault with an id; the server logs the traceback right after the id."""
    error_id = new_id("error")
    log.error(
        "unexpected error", id=error_id, method=request.method, path=request.url.path, error=repr(error)
    )
    found = ServiceError(
        f"this is a fault of the service, not of the request ({error_id})",
        hint=f"look for {error_id} in the log of `loopfront up`, and report what stands there",
    )
    return problem(found)
