"""Prometheus metrics: requests as they are answered, and the state of the tables when they are asked for."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.device_state import is_online
from service.event_feed import EventFeed
from service.leases import LEASED, WAITING
from service.store.agents import Agents
from service.store.database import Database, database_now
from service.store.rows import DeviceRow, DeviceShareRow, JobRow, StudyRow
from service.version import VERSION

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """What one process tells; the tables are counted whenever somebody asks."""

    def __init__(self, database: Database, feed: EventFeed) -> None:
        self._registry = CollectorRegistry()
        self.requests = Histogram(
            "loopfront_request_seconds",
            "Seconds to answer, by route; long waits for jobs and event streams are left out",
            ["method", "route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.answers = Counter(
            "loopfront_answers", "Answers by status", ["method", "route", "status"], registry=self._registry
        )
        version = Gauge("loopfront_info", "Which version runs", ["version"], registry=self._registry)
        version.labels(VERSION).set(1)
        streams = Gauge("loopfront_event_streams", "Open event streams", registry=self._registry)
        streams.set_function(lambda: feed.watchers)
        self._registry.register(_Tables(database))

    def text(self) -> bytes:
        """Write everything in Prometheus' text format."""
        return generate_latest(self._registry)


class CountedRequests:
    """ASGI middleware that counts answers and the seconds until they began."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on and count."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_s = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, message["status"], time.perf_counter() - began_s)
            await send(message)

        await self.app(scope, receive, counted)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # By the route, not by the path: names of studies would make a series each.
        route = getattr(scope.get("route"), "path", "none")
        self.metrics.answers.labels(scope["method"], route, str(status)).inc()
        if not route.endswith(("/lease", "/events")):
            self.metrics.requests.labels(scope["method"], route).observe(seconds)


class _Tables(Collector):
    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._database.read() as session:
            studies = session.execute(select(StudyRow.state, func.count()).group_by(StudyRow.state)).all()
            jobs = session.execute(
                select(DeviceRow.name, JobRow.state, func.count())
                .join(DeviceRow, DeviceRow.id == JobRow.device_id)
                .where(JobRow.state.in_((WAITING, LEASED)))
                .group_by(DeviceRow.name, JobRow.state)
            ).all()
            used = session.execute(
                select(DeviceRow.name, func.sum(DeviceShareRow.used_seconds))
                .join(DeviceRow, DeviceRow.id == DeviceShareRow.device_id)
                .group_by(DeviceRow.name)
            ).all()
            held = session.execute(select(func.count()).where(DeviceRow.quarantined_at.is_not(None))).scalar()
            now = database_now(session)
            online = sum(is_online(row, now) for row in Agents(session).all())
        yield _family("loopfront_studies", "Studies by state", ["state"], studies)
        yield _family("loopfront_jobs", "Jobs that wait or are measured", ["device", "state"], jobs)
        yield _family("loopfront_device_used_seconds", "Seconds under lease", ["device"], used)
        yield _family("loopfront_devices_quarantined", "Devices that wait for a doctor", [], [(held,)])
        yield _family("loopfront_agents_online", "Agents heard of lately", [], [(online,)])


def _family(name: str, told: str, labels: list[str], rows: object) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, told, labels=labels)
    for *values, number in rows:  # type: ignore[attr-defined]
        family.add_metric([str(value) for value in values], float(number or 0))
    return family
