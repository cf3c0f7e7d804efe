"""Puts the runner and the runtime onto a device, each under its digest, so that what is there need not travel again."""

import posixpath
import threading
from dataclasses import replace
from pathlib import Path

from devices.connection import Connection, Limits
from devices.errors import ConnectionFault
from devices.runner.build import BuiltRunner
from devices.runtime_library import RuntimeLibrary

_LIMITS = Limits(deadline_s=60.0, silence_s=60.0)


def provision_runner(connection: Connection, root: str, runner: BuiltRunner) -> BuiltRunner:
    """Return the runner as it lies on the device, ready to be started; raises ConnectionFault where it can't be."""
    path = _provision(connection, root, "runner", runner.sha256, runner.path)
    _require(connection, ["chmod", "755", path], f"{path} cannot be made executable")
    return replace(runner, path=Path(path))


def provision_library(connection: Connection, root: str, library: RuntimeLibrary) -> RuntimeLibrary:
    """Return the runtime library as it lies on the device; raises ConnectionFault where it can't be written."""
    path = _provision(connection, root, "library", library.sha256, Path(library.path))
    return replace(library, path=path)


def _provision(connection: Connection, root: str, kind: str, sha256: str, source: Path) -> str:
    """Push a file unless the device has it; what lies there is read again, for disks fail and people tidy."""
    path = posixpath.join(root, kind, sha256[:16], source.name)
    if not _is_whole(connection, path, sha256):
        connection.push(source.read_bytes(), path)
    return path


def _is_whole(connection: Connection, path: str, sha256: str) -> bool:
    if posixpath.basename(path) not in connection.names(posixpath.dirname(path)):
        return False
    told = connection.run(["sha256sum", path], _LIMITS, threading.Event()).lines
    return bool(told) and told[0].startswith(sha256)


def _require(connection: Connection, command: list[str], trouble: str) -> None:
    result = connection.run(command, _LIMITS, threading.Event())
    if result.status != 0:
        raise ConnectionFault(f"{trouble}: {result.errors.strip() or result.ending.value}")
