"""The data folder of one service: its lock, who runs on it, and how much room it has."""

import errno
import fcntl
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from service.errors import StartRefused, StorageFull

LOCK_NAME = "service.lock"
RUNNING_NAME = "service.json"
LOOK_S = 0.5
"""Who only looks whether a service runs holds the lock for a moment; a service that starts waits for that."""
MINIMUM_FREE_BYTES = 300 * 1024**2
"""A weight pool, the graphs and the database of a first study take about 200 MB."""
MINIMUM_FREE_BYTES_LATER = 10 * 1024**2
"""Enough to open what is there; a measurement that finds no room says so itself."""


@dataclass(frozen=True)
class RunningService:
    """Where the service of a data folder listens."""

    pid: int
    host: str
    port: int
    version: str
    is_tls: bool = False

    @property
    def url(self) -> str:
        """Base URL; on this machine where it listens everywhere."""
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        host = f"[{name}]" if ":" in name else name
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}"


class DataFolderLock:
    """Exclusive use of a data folder; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock or raise StartRefused naming who has it."""
        try:
            file = (self.folder / LOCK_NAME).open("a+", encoding="utf-8")
        except OSError as error:
            raise _folder_error(self.folder, error) from None
        if not _take(file, fcntl.LOCK_EX, LOOK_S):
            file.close()
            raise _in_use(self.folder)
        self._file = file
        # What a service that was killed announced here would be taken for ours until we announce.
        (self.folder / RUNNING_NAME).unlink(missing_ok=True)

    def announce(self, running: RunningService) -> None:
        """Write where the service listens, atomically."""
        path = self.folder / RUNNING_NAME
        temporary = path.with_suffix(".writing")
        temporary.write_text(json.dumps(asdict(running)), encoding="utf-8")
        temporary.replace(path)

    def release(self) -> None:
        """Withdraw the announcement and let go."""
        (self.folder / RUNNING_NAME).unlink(missing_ok=True)
        if self._file is not None:
            self._file.close()
            self._file = None


def refuse_second(folder: Path) -> None:
    """Raise StartRefused where a service runs on the folder; touch nothing."""
    if _is_locked(folder):
        raise _in_use(folder)


def read_running(folder: Path) -> RunningService | None:
    """Read the announcement, whoever wrote it and whether or not it still runs."""
    try:
        return RunningService(**json.loads((folder / RUNNING_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def find_running(folder: Path, settle_s: float = 3.0) -> RunningService | None:
    """Find the live service of a folder: the lock is held. A service that is just starting is waited for."""
    deadline = time.monotonic() + settle_s
    while _is_locked(folder):
        running = read_running(folder)
        if running is not None:
            return running
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)
    return None


def full_disk(folder: Path) -> str:
    """Say in a line that nothing can be stored for want of room; "" while there is some."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes >= MINIMUM_FREE_BYTES_LATER:
        return ""
    return (
        f"the disk of {folder} is full ({free_bytes / 1024**2:.1f} MB free): what is measured waits to be stored; "
        "free some space"
    )


def prepare(folder: Path) -> None:
    """Create the folder; raise StartRefused or StorageFull in one line where that can't work."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        free_bytes = shutil.disk_usage(folder).free
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise _folder_error(folder, error) from None
    if not writable:
        raise StartRefused(
            "this folder can't be written", field=str(folder), hint="choose another --data-folder"
        )
    is_new = not any(folder.glob("*.sqlite"))
    needed_bytes = MINIMUM_FREE_BYTES if is_new else MINIMUM_FREE_BYTES_LATER
    if free_bytes < needed_bytes:
        raise StorageFull(
            f"only {free_bytes // 1024**2} MB are free, {needed_bytes // 1024**2} MB are needed",
            field=str(folder),
            hint="free some space or choose another --data-folder",
        )


def _in_use(folder: Path) -> StartRefused:
    running = read_running(folder)
    where = f" at {running.url} (process {running.pid})" if running else ""
    return StartRefused(
        f"a service runs on this data folder already{where}",
        field=str(folder),
        hint="use it, stop it, or choose another folder with --data-folder",
        code="data-folder-in-use",
    )


def _folder_error(folder: Path, error: OSError) -> StartRefused | StorageFull:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull("the disk is full", field=str(folder), hint="free some space")
    is_file = isinstance(error, FileExistsError | NotADirectoryError)
    reason = "a file is in its place" if is_file else error.strerror or str(error)
    return StartRefused(
        f"this folder can't be used: {reason}", field=str(folder), hint="choose another --data-folder"
    )


def _take(file: IO[str], kind: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)


def _is_locked(folder: Path) -> bool:
    """Look without writing: the folder may be someone else's."""
    try:
        with (folder / LOCK_NAME).open(encoding="utf-8") as file:
            return not _take(file, fcntl.LOCK_SH, 0.0)
    except OSError:
        return False
