"""Run a search loop in a process of its own, beside others that share its PostgreSQL."""

import structlog

from service.data_folder import prepare
from service.errors import StartRefused
from service.parts import open_parts
from service.search_loop import SearchLoop
from service.settings import Settings
from service.store.bell_wire import BellWire
from service.up import WATCH_S, stop_on_signals

log = structlog.get_logger()


def require_postgresql(settings: Settings, what: str) -> None:
    """Refuse to start `what` beside a service on SQLite, which serves one process."""
    if not settings.database_url.startswith("postgresql"):
        raise StartRefused(
            f"{what} beside the service needs PostgreSQL; SQLite serves one process",
            field="LOOPFRONT_DATABASE_URL",
            hint="set it as for the service, such as postgresql://USER@HOST/NAME, or let `loopfront up` work alone",
            code="needs-postgresql",
        )


def run_worker(settings: Settings) -> None:
    """Lead studies until Ctrl-C or SIGTERM; raise StartRefused where that can't begin."""
    require_postgresql(settings, "a worker")
    prepare(settings.data_folder)
    parts = open_parts(settings)
    wire, loop = BellWire(parts.database, parts.bell), SearchLoop(parts)
    stop = stop_on_signals()
    try:
        wire.start()
        loop.start()
        log.info("worker", leader=loop.leader, database=parts.database.words)
        while not stop.wait(WATCH_S):
            if not loop.is_alive:
                raise StartRefused("the worker ended by itself", hint="see the log above")
    finally:
        loop.stop()
        wire.stop()
        parts.database.close()
