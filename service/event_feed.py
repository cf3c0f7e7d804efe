"""Hands events to all who watch: one reader per process looks at the table, however many streams are open."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import structlog
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from service.bell import Bell
from service.store.database import Database
from service.store.events import Event, EventPlace, Events

POLL_S = 0.2
LOOK_AGAIN_S = 2.0
PAGE = 500
LONGEST_BACKLOG = 2000
"""A reader that is so far behind is let go: it comes again with the last event that it saw."""

log = structlog.get_logger()


class EventFeed:
    """The events of one database, from the moment somebody watches."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database, self._bell = database, bell
        self._watchers: set[asyncio.Queue[Event | None]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._place = EventPlace(0, 0)

    @property
    def watchers(self) -> int:
        """How many streams are open."""
        return len(self._watchers)

    async def watch(self, study_id: str | None, after: EventPlace | None) -> AsyncIterator[Event]:
        """Give what happens from now on, or from behind a place: what was kept first, then what is new."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(LONGEST_BACKLOG)
        await self._begin()
        self._watchers.add(queue)  # before the table is read: what happens meanwhile waits in the queue
        seen = after or self._place
        try:
            while page := await run_in_threadpool(self._read, seen, study_id):
                for event in page:
                    seen = event.place
                    yield event
            while (new := await queue.get()) is not None:
                if new.place > seen and study_id in {None, new.study_id}:
                    seen = new.place
                    yield new
        finally:
            self._watchers.discard(queue)

    async def _begin(self) -> None:
        if self._reader is None or self._reader.done():
            newest = await run_in_threadpool(self._newest)
            if self._reader is None or self._reader.done():  # else another watcher began meanwhile
                self._place = newest
                self._reader = asyncio.create_task(self._run())

    async def _run(self) -> None:
        quiet_s = 0.0
        seen = self._bell.rings
        while True:
            await asyncio.sleep(POLL_S)
            quiet_s += POLL_S
            if self._bell.rings == seen and quiet_s < LOOK_AGAIN_S:
                continue
            seen, quiet_s = self._bell.rings, 0.0
            if not self._watchers:
                return
            try:
                await self._pass_on_what_is_new()
            except SQLAlchemyError as error:
                log.warning("events can't be read", error=str(error).splitlines()[0])

    async def _pass_on_what_is_new(self) -> None:
        while page := await run_in_threadpool(self._read, self._place, None):
            for event in page:
                self._place = event.place
                for queue in list(self._watchers):
                    self._put(queue, event)

    def _put(self, queue: asyncio.Queue[Event | None], event: Event) -> None:
        try:
            queue.put_nowait(event)
        except asyncio.QueueFull:
            self._watchers.discard(queue)
            with contextlib.suppress(asyncio.QueueEmpty):
                queue.get_nowait()
            queue.put_nowait(None)

    def _read(self, place: EventPlace, study_id: str | None) -> Sequence[Event]:
        with self._database.read() as session:
            return Events(session).after(place, PAGE, study_id)

    def _newest(self) -> EventPlace:
        with self._database.read() as session:
            return Events(session).newest()
