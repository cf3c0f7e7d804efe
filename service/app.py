"""Build the web application from its parts."""

from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

import reports
from service.api import (
    agents,
    attempts,
    audit,
    blobs,
    devices,
    events,
    examinations,
    fronts,
    health,
    jobs,
    login,
    measurements,
    metrics,
    pages,
    problems,
    profiles,
    studies,
    tokens,
    trials,
    webhooks,
)
from service.api.limits import BehindProxy, KnownHostOnly, LimitedBody
from service.api.protocol_header import ProtocolHeader
from service.api.turns import Turns
from service.event_feed import EventFeed
from service.metrics import CountedRequests, Metrics
from service.parts import Parts
from service.version import VERSION
from service.work_watch import WorkWatch

API_PREFIX = "/api/v1"
ROUTERS: Sequence[APIRouter] = (
    # They are looked through in this order: first what agents ask for all day.
    agents.router,
    jobs.router,
    health.router,
    metrics.router,
    studies.router,
    trials.router,
    fronts.router,
    events.router,
    attempts.router,
    measurements.router,
    devices.router,
    profiles.router,
    agents.open_router,
    examinations.router,
    agents.enrolling_router,
    blobs.router,
    tokens.router,
    audit.router,
    webhooks.router,
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
        # /metrics tells it; FastAPI's own looks for OpenTelemetry anew with every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.parts = parts
    app.state.turns = Turns()
    app.state.feed = EventFeed(parts.database, parts.bell)
    app.state.work_watch = WorkWatch(parts.database, parts.bell, parts.settings.lease_seconds)
    app.state.metrics = Metrics(parts.database, app.state.feed)
    problems.install(app)
    app.add_middleware(LimitedBody, settings=parts.settings)
    app.add_middleware(KnownHostOnly, settings=parts.settings)
    app.add_middleware(ProtocolHeader)
    if parts.settings.behind_proxy:
        app.add_middleware(BehindProxy)
    app.add_middleware(CountedRequests, metrics=app.state.metrics)
    for router in ROUTERS:
        app.include_router(router, prefix=API_PREFIX)
    app.include_router(login.router)
    app.include_router(pages.router)
    app.add_exception_handler(login.NotLoggedIn, login.to_login)
    app.mount("/static", StaticFiles(directory=_static_folder()), name="static")
    return app


def _static_folder() -> Path:
    return Path(reports.__file__).parent / "static"
