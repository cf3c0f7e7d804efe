"""Puts runner, runtime and C library onto a device, each under its digest, so that nothing travels twice."""

import logging
import posixpath
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from devices import remote_shell
from devices.connection import Connection, Limits
from devices.errors import ConnectionFault
from devices.glibc_folder import GlibcFolder
from devices.runner.build import BuiltRunner
from devices.runtime_library import RuntimeLibrary

_LIMITS = Limits(deadline_s=60.0, silence_s=60.0)
_WORTH_A_LINE_BYTES = 1_000_000

log = logging.getLogger(__name__)


def provision_runner(connection: Connection, root: str, runner: BuiltRunner) -> BuiltRunner:
    """Return the runner as it lies on the device, ready to be started; raises ConnectionFault where it can't be."""
    path = _provision(connection, root, "runner", runner.sha256, runner.path)
    _make_executable(connection, path)
    return replace(runner, path=Path(path))


def provision_library(connection: Connection, root: str, library: RuntimeLibrary) -> RuntimeLibrary:
    """Return the runtime library as it lies on the device; raises ConnectionFault where it can't be written."""
    path = _provision(connection, root, "library", library.sha256, Path(library.path))
    return replace(library, path=path)


def provision_glibc(connection: Connection, root: str, glibc: GlibcFolder) -> GlibcFolder:
    """Return the glibc folder as it lies on the device; raises ConnectionFault where it can't be written."""
    folder = posixpath.join(root, "glibc", glibc.sha256[:16])
    _push_missing(connection, folder, Path(glibc.path), dict(glibc.digests))
    _make_executable(connection, posixpath.join(folder, glibc.loader))
    return glibc.at(folder)


def _provision(connection: Connection, root: str, kind: str, sha256: str, source: Path) -> str:
    folder = posixpath.join(root, kind, sha256[:16])
    _push_missing(connection, folder, source.parent, {source.name: sha256})
    return posixpath.join(folder, source.name)


def _push_missing(connection: Connection, folder: str, source: Path, digests: Mapping[str, str]) -> None:
    """Push what the device lacks; what lies there is read again, for disks fail and people tidy."""
    asked = remote_shell.digests(folder, list(digests))
    told = remote_shell.read_digests(connection.run(asked, _LIMITS, threading.Event()).lines)
    for name, sha256 in digests.items():
        if told.get(name) == sha256:
            continue
        content = (source / name).read_bytes()
        if len(content) > _WORTH_A_LINE_BYTES:
            log.info("pushing %s (%.1f MB)", name, len(content) / 1e6)
        connection.push(content, posixpath.join(folder, name))


def _make_executable(connection: Connection, path: str) -> None:
    result = connection.run(["chmod", "755", path], _LIMITS, threading.Event())
    if result.status != 0:
        trouble = result.errors.strip() or result.ending.value
        raise ConnectionFault(f"{path} cannot be made executable: {trouble}")
