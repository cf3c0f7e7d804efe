"""Answer requests in a process of its own, beside a service whose PostgreSQL and data folder it shares."""

import structlog

from service.data_folder import prepare
from service.errors import StartRefused
from service.parts import open_parts
from service.search_worker import require_postgresql
from service.settings import Settings
from service.store.bell_wire import BellWire
from service.up import WATCH_S, Server, allow_many_files, bind, refuse_open_door, stop_on_signals

log = structlog.get_logger()


def run_serve(settings: Settings) -> None:
    """Answer until Ctrl-C or SIGTERM; raise StartRefused where that can't begin."""
    refuse_open_door(settings)
    require_postgresql(settings, "another process that answers")
    with bind(settings.host, settings.port) as listener:
        prepare(settings.data_folder)
        allow_many_files()
        parts = open_parts(settings)
        wire, server = BellWire(parts.database, parts.bell), Server(parts, listener)
        stop = stop_on_signals()
        try:
            wire.start()
            server.start()
            log.info("serving", port=listener.getsockname()[1], database=parts.database.words)
            while not stop.wait(WATCH_S):
                if not server.is_alive:
                    raise StartRefused("the server ended by itself", hint="see the log above")
        finally:
            server.stop()
            wire.stop()
            parts.database.close()
