"""Starts the service and the agent of a benchmark as processes of their own, and watches what they cost."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sqlalchemy import ColumnElement, select

from service.client import Client
from service.data_folder import read_running
from service.leases import DONE
from service.parts import Parts, open_parts
from service.secret_files import agent_token_path, owner_token_path, read_secret
from service.settings import Settings
from service.store.rows import JobRow

T = TypeVar("T")
START_S = 120.0
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Service:
    """A real service in a process of its own, and its database."""

    url: str
    parts: Parts

    @property
    def token_path(self) -> Path:
        """The file that holds its agent token."""
        return agent_token_path(self.parts.settings.data_folder)

    def wait_for_devices(self, count: int) -> dict[str, str]:
        """Wait until so many devices have registered; return their ids by name."""
        deadline_s = time.monotonic() + START_S
        owner = read_secret(owner_token_path(self.parts.settings.data_folder))
        with Client(self.url, owner) as client:
            while len(found := client.devices()) < count:
                if time.monotonic() > deadline_s:
                    raise RuntimeError(f"{len(found)} of {count} devices registered: see the agent's log")
                time.sleep(0.1)
        return {device.name: device.id for device in found}

    def wait_for_jobs(self, count: int, longest_s: float) -> None:
        """Wait until so many jobs are done; a job may take `longest_s`."""
        deadline_s = time.monotonic() + longest_s * count
        while (done := len(self._details(JobRow.state == DONE))) < count:
            if time.monotonic() > deadline_s:
                troubles = "; ".join(sorted({*self._details(JobRow.state != DONE)} - {""}))
                raise RuntimeError(
                    f"{done} of {count} jobs are done: {troubles or 'nothing is told of the others'}"
                )
            time.sleep(0.2)

    def _details(self, condition: ColumnElement[bool]) -> Sequence[str]:
        with self.parts.database.read() as session:
            return session.scalars(select(JobRow.detail).where(condition)).all()


@contextmanager
def a_service(folder: Path) -> Iterator[Service]:
    """Run `loopfront up` without an agent on a free port."""
    command = ["-m", "service.cli", "up", "--no-agent", "--data-folder", str(folder), "--port", "0"]
    with running(command, folder.with_name("service.log")) as process:
        found = started(lambda: read_running(folder), process, folder.with_name("service.log"))
        parts = open_parts(Settings(data_folder=folder))
        try:
            yield Service(found.url, parts)
        finally:
            parts.database.close()


def started(find: Callable[[], T | None], process: "subprocess.Popen[bytes]", log: Path) -> T:
    """Wait for what a process that has just been started will let us find."""
    deadline_s = time.monotonic() + START_S
    while (found := find()) is None:
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"it doesn't start: {log.read_text()}")
        time.sleep(0.1)
    return found


@contextmanager
def running(arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python with these arguments, its output in a file; stopped at the end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Usage:
    """What a process used while it was watched: processor seconds, and the most memory and threads."""

    wall_s: float = 0.0
    processor_s: float = 0.0
    pss_bytes: int = 0
    threads: int = 0


@dataclass
class Watched:
    """A process that is being watched; `usage` is filled in as it goes."""

    pid: int
    usage: Usage = field(default_factory=Usage)

    def look(self, started_s: float, processor_before_s: float) -> None:
        """Take another reading."""
        usage = self.usage
        usage.wall_s = time.monotonic() - started_s
        usage.processor_s = processor_seconds(self.pid) - processor_before_s
        usage.pss_bytes = max(usage.pss_bytes, _number(self.pid, "smaps_rollup", "Pss") * 1024)
        usage.threads = max(usage.threads, _number(self.pid, "status", "Threads"))


@contextmanager
def watched(pid: int) -> Iterator[Usage]:
    """Watch a process for as long as the block lasts."""
    found, is_over = Watched(pid), threading.Event()
    started_s, before_s = time.monotonic(), processor_seconds(pid)

    def watch() -> None:
        while not is_over.wait(LOOK_EVERY_S):
            found.look(started_s, before_s)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found.usage
    finally:
        is_over.set()
        thread.join()
        found.look(started_s, before_s)


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, without its children's."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _number(pid: int, file: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    return int(found.group(1)) if found else 0
