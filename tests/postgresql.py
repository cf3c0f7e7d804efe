"""A real PostgreSQL server of the tests' own: in a temporary folder, behind a Unix socket that only it has."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

_DEBIANS_FOLDERS = "/usr/lib/postgresql/*/bin"
_USER = "loopfront"


class PostgresqlServer:
    """A server that can be killed, stopped and started again; each test gets a database of its own."""

    def __init__(self, folder: Path, is_quick: bool = True) -> None:
        self.folder = folder
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", self._data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        # No test survives a power cut, and one that waits for the disk is slow; kill -9 loses nothing without either.
        quick = "fsync=off\nfull_page_writes=off\n" if is_quick else ""
        own = f"listen_addresses=''\nunix_socket_directories='{folder}'\nmax_connections=300\n"
        with (folder / "data" / "postgresql.conf").open("a") as config:
            config.write(quick + own)

    def start(self) -> None:
        """Start, and return once it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_program("postgres")), "-D", self._data], stdout=log, stderr=log, **_as_its_user()
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self._connect("postgres").close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """End at once, open connections or not."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as `kill -9` does, with every process that served a connection."""
        self._end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The server's own process, whose children serve connections."""
        assert self._process is not None
        return self._process.pid

    def a_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{next(self._numbers)}"
        with self._connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://{_USER}@/{name}?host={self.folder}"

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        name = url.partition("@/")[2].partition("?")[0]
        with self._connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _connect(self, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(host=str(self.folder), user=_USER, dbname=database, autocommit=True)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        if number == signal.SIGKILL:
            for pid in children(self._process.pid):
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself meanwhile
                    os.kill(pid, number)
        self._process.send_signal(number)
        self._process.wait(30)
        self._process = None

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run([str(_program(name)), *arguments], check=True, capture_output=True, **_as_its_user())


@contextmanager
def a_postgresql(is_quick: bool = True) -> Iterator[PostgresqlServer]:
    """Run a server until the end of the block; one that isn't quick waits for the disk, as servers do."""
    folder = Path(tempfile.mkdtemp(prefix="lf-pg-", dir="/tmp"))  # a socket's path may have 107 letters
    try:
        if user := _its_user():
            shutil.chown(folder, user)
        server = PostgresqlServer(folder, is_quick)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def trouble() -> str:
    """Say why no server can be run here; "" where one can."""
    if _program("postgres") is None:
        return "PostgreSQL isn't installed: apt install postgresql"
    if os.geteuid() == 0 and not _its_user():
        return "PostgreSQL doesn't run as root, and there is no user postgres or nobody"
    return ""


def _program(name: str) -> Path | None:
    found = [
        Path(each) / name for each in sorted(map(str, Path("/").glob(_DEBIANS_FOLDERS[1:])), reverse=True)
    ]
    on_path = shutil.which(name)
    return next((each for each in found if each.exists()), Path(on_path) if on_path else None)


def _its_user() -> str:
    """Name the user to run it as where we are root, which it refuses to be."""
    if os.geteuid() != 0:
        return ""
    known = {each.pw_name for each in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), "")


def _as_its_user() -> dict[str, object]:
    user = _its_user()
    return {"user": user, "cwd": "/"} if user else {}


def children(pid: int) -> list[int]:
    """List the processes that a process has started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
