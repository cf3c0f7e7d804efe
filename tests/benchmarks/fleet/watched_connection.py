"""A connection that notes every command and file that goes over it, and how long the runner itself worked."""

import json
import posixpath
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from devices.connection import CommandResult, Connection, Limits

RUNNER, PLAN, GRAPH, LOOK, FILES = "runner", "plans", "graph", "looks", "files"


@dataclass
class Call:
    """One use of the connection; `runner_s` is what the runner says it took by itself."""

    kind: str
    started_s: float
    ended_s: float = 0.0
    runner_s: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it took as seen from here."""
        return self.ended_s - self.started_s


class WatchedConnection:
    """Passes everything on; `calls` grows as it is used."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.calls: list[Call] = []

    def run(
        self, command: Sequence[str], limits: Limits, stop: threading.Event, standard_input: bytes = b""
    ) -> CommandResult:
        """Run a command; see `Connection.run`."""
        with self._noted(LOOK) as call:
            result = self._connection.run(command, limits, stop, standard_input)
        runner_s = runner_seconds(result.lines)
        if runner_s is not None:
            call.kind, call.runner_s = RUNNER, runner_s
        return result

    def push(self, content: bytes, path: str) -> None:
        """Write a file; see `Connection.push`."""
        with self._noted(GRAPH if posixpath.splitext(path)[1] == ".onnx" else PLAN):
            self._connection.push(content, path)

    def names(self, folder: str) -> frozenset[str]:
        """List a folder; see `Connection.names`."""
        with self._noted(FILES):
            return self._connection.names(folder)

    def remove(self, path: str) -> None:
        """Remove a file or folder; see `Connection.remove`."""
        with self._noted(FILES):
            self._connection.remove(path)

    @contextmanager
    def _noted(self, kind: str) -> Iterator[Call]:
        call = Call(kind, time.time())
        try:
            yield call
        finally:
            call.ended_s = time.time()
            self.calls.append(call)


def runner_seconds(lines: Sequence[str]) -> float | None:
    """Return the seconds of a runner's `done` record; None for any other command."""
    try:
        record = json.loads(lines[-1])
        return float(record["seconds"]) if record["record"] == "done" else None
    except (IndexError, KeyError, TypeError, ValueError):
        return None
