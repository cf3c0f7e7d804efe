"""A service in a process of its own, on a PostgreSQL or a SQLite of its own."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from devices.service_link import PROTOCOL_VERSION
from service.client import Client
from service.data_folder import read_running
from service.secret_files import agent_token_path, owner_token_path, read_secret
from service.settings import Settings
from service.store.database import Database, sqlite_url
from tests import postgresql
from tests.benchmarks.fleet.processes import processor_seconds, running, started

DATABASES = ("postgresql", "sqlite")


@dataclass(frozen=True)
class Served:
    """A service that answers; `database` is its own, opened from here."""

    name: str
    url: str
    pid: int
    folder: Path
    database: Database
    database_pid: int | None
    more: Sequence[tuple[int, int]] = ()
    """Process id and port of each `loopfront serve` beside it."""

    @property
    def doors(self) -> Sequence[int]:
        """All ports on which it answers."""
        return [self.port, *(port for _, port in self.more)]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    @property
    def agent_headers(self) -> dict[str, str]:
        """What its agents send."""
        token = read_secret(agent_token_path(self.folder))
        return {"Authorization": f"Bearer {token}", "Loopfront-Protocol": PROTOCOL_VERSION}

    @property
    def owner_headers(self) -> dict[str, str]:
        """What its owner sends."""
        return {"Authorization": f"Bearer {read_secret(owner_token_path(self.folder))}"}

    def client(self) -> Client:
        """Give its owner's client."""
        return Client(self.url, read_secret(owner_token_path(self.folder)))

    def database_bytes(self) -> int:
        """Return the memory of the database's processes; of SQLite it is the service's own."""
        return sum(_pss_bytes(pid) for pid in self._database_pids())

    def database_seconds(self) -> float:
        """Return the processor time that the database's processes have used so far."""
        return sum(processor_seconds(pid) for pid in self._database_pids())

    def _database_pids(self) -> list[int]:
        if self.database_pid is None:
            return []
        return [self.database_pid, *postgresql.children(self.database_pid)]


@contextmanager
def served(name: str, folder: Path, processes: int = 1) -> Iterator[Served]:
    """Run `loopfront up` without agent and search loop, on PostgreSQL with `loopfront serve` beside it."""
    if name == "sqlite":
        with _up(name, folder, str(sqlite_url(folder / "data" / "loopfront.sqlite")), None) as found:
            yield found
        return
    with (
        postgresql.a_postgresql(is_quick=False) as server,
        _up(name, folder, server.a_database(), server.pid) as found,
        ExitStack() as stack,
    ):
        more = [stack.enter_context(_serve(folder, number)) for number in range(1, processes)]
        yield replace(found, more=more)


@contextmanager
def _serve(folder: Path, number: int) -> Iterator[tuple[int, int]]:
    log = folder / f"serve-{number}.log"
    command = ["-m", "service.cli", "serve", "--data-folder", str(folder / "data"), "--port", "0"]
    with running(command, log) as process:
        port = started(lambda: re.search(r"port=(\d+)", log.read_text()), process, log)
        yield process.pid, int(port[1])


@contextmanager
def _up(name: str, folder: Path, url: str, database_pid: int | None) -> Iterator[Served]:
    data = folder / "data"
    command = [
        "-m",
        "service.cli",
        "up",
        "--no-agent",
        "--no-search",
        "--data-folder",
        str(data),
        "--port",
        "0",
    ]
    before = os.environ.get("LOOPFRONT_DATABASE_URL")
    os.environ["LOOPFRONT_DATABASE_URL"] = url
    try:
        with running(command, folder / "service.log") as process:
            found = started(lambda: read_running(data), process, folder / "service.log")
            database = Database(Settings(data_folder=data).database_url)
            try:
                yield Served(name, found.url, process.pid, data, database, database_pid)
            finally:
                database.close()
    finally:
        del os.environ["LOOPFRONT_DATABASE_URL"]
        if before is not None:
            os.environ["LOOPFRONT_DATABASE_URL"] = before


def _pss_bytes(pid: int) -> int:
    try:
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:  # it has just ended
        return 0
    return 1024 * int(found.group(1)) if found else 0
