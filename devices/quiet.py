"""The lock that keeps timing and other heavy work on one host apart."""

import fcntl
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from devices.errors import MeasurementStopped, QuietLockUnusable


def quiet_lock_path() -> Path:
    """Return the host's lock file: one per user, at the same place for agent and service."""
    if chosen := os.environ.get("LOOPFRONT_QUIET_LOCK"):
        return Path(chosen)
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(folder) / "loopfront-quiet.lock"
    return Path(tempfile.gettempdir()) / f"loopfront-{os.getuid()}" / "loopfront-quiet.lock"


@contextmanager
def quiet_host(path: Path | None = None, stop: threading.Event | None = None) -> Iterator[None]:
    """Hold the host's lock, waiting for whoever holds it; the kernel lets go when a process dies.

    Raises QuietLockUnusable if its file can't be opened, MeasurementStopped if `stop` is set while waiting.
    """
    with open_quiet_lock(path) as file:
        _lock(file, stop or threading.Event())
        yield


def open_quiet_lock(path: Path | None = None) -> TextIO:
    """Open the host's lock file; QuietLockUnusable names it and the way out."""
    path = path or quiet_lock_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Where everyone may write, somebody else may have put a link there.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        return os.fdopen(descriptor, "a")
    except OSError as error:
        raise QuietLockUnusable(
            f"the lock file {path}, which keeps timing and other work on this machine apart, can't be opened: "
            f"{error.strerror}; make it writable, or name another file with LOOPFRONT_QUIET_LOCK"
        ) from error


def _lock(file: TextIO, stop: threading.Event) -> None:
    """Lock the file by queueing in the kernel: who asks again and again starves beside others who queue."""
    is_locked = threading.Event()

    def wait_in_line() -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        is_locked.set()

    descriptor = file.fileno()
    threading.Thread(target=wait_in_line, daemon=True).start()
    while not is_locked.wait(0.1):
        if stop.is_set():
            raise MeasurementStopped("asked to stop while another program kept the host busy")
