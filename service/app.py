"""Build the web application from its parts."""

from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

import reports
from service.api import (
    agents,
    attempts,
    blobs,
    devices,
    examinations,
    health,
    jobs,
    measurements,
    pages,
    problems,
    profiles,
    studies,
    trials,
)
from service.api.limits import KnownHostOnly, LimitedBody
from service.api.protocol_header import ProtocolHeader
from service.parts import Parts
from service.version import VERSION

API_PREFIX = "/api/v1"
ROUTERS: Sequence[APIRouter] = (
    health.router,
    studies.router,
    trials.router,
    attempts.router,
    measurements.router,
    devices.router,
    profiles.router,
    agents.router,
    examinations.router,
    jobs.router,
    blobs.router,
)


def create_app(parts: Parts) -> FastAPI:
    """Give the ASGI application; it starts nothing by itself."""
    app = FastAPI(
        title="Loopfront",
        version=VERSION,
        # The stock documentation pages load their scripts from a CDN, which a page of ours never does.
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API_PREFIX}/openapi.json",
    )
    app.state.parts = parts
    problems.install(app)
    app.add_middleware(LimitedBody, settings=parts.settings)
    app.add_middleware(KnownHostOnly, settings=parts.settings)
    app.add_middleware(ProtocolHeader)
    for router in ROUTERS:
        app.include_router(router, prefix=API_PREFIX)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=_static_folder()), name="static")
    return app


def _static_folder() -> Path:
    return Path(reports.__file__).parent / "static"
