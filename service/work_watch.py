"""Wakes the agents that wait for a job: one look at the table per process, however many devices wait."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import structlog
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from service.bell import Bell
from service.store.database import Database
from service.store.jobs import Jobs

POLL_S = 0.1
LOOK_AGAIN_S = 2.0
"""Look at the table this often even if no bell was rung: leases expire and back-offs end silently."""

log = structlog.get_logger()


class WorkWatch:
    """Those who wait for a job, by device."""

    def __init__(self, database: Database, bell: Bell, lease_seconds: float) -> None:
        self._database, self._bell, self._lease_seconds = database, bell, lease_seconds
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._looker: asyncio.Task[None] | None = None

    @contextmanager
    def waiting(self, device_ids: Collection[str]) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever there may be a job for one of these devices."""
        woken = asyncio.Event()
        for each in device_ids:
            self._waiting[each].add(woken)
        if self._looker is None or self._looker.done():
            self._looker = asyncio.create_task(self._look())
        try:
            yield woken
        finally:
            for each in device_ids:
                self._waiting[each].discard(woken)
                if not self._waiting[each]:
                    del self._waiting[each]

    async def _look(self) -> None:
        seen, quiet_s = self._bell.rings, 0.0
        while self._waiting:
            await asyncio.sleep(POLL_S)
            quiet_s += POLL_S
            if self._bell.rings == seen and quiet_s < LOOK_AGAIN_S:
                continue
            seen, quiet_s = self._bell.rings, 0.0
            try:
                found = await run_in_threadpool(self._with_work, list(self._waiting))
            except SQLAlchemyError as error:
                log.warning("jobs can't be read", error=str(error).splitlines()[0])
                continue
            for device_id in found:
                for woken in self._waiting.get(device_id, ()):
                    woken.set()

    def _with_work(self, device_ids: Collection[str]) -> Collection[str]:
        with self._database.read() as session:
            return Jobs(session).devices_with_work(device_ids, self._lease_seconds)
