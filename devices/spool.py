"""Keep finished outcomes in files until the service has acknowledged them."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("loopfront.agent")


@dataclass(frozen=True)
class SpooledOutcome:
    """An outcome with the token under which it counts."""

    path: Path
    job_id: str
    token: int
    outcome: Mapping[str, Any]
    server: str = ""


class Spool:
    """A folder with one file per outcome; `refused/` keeps what the service would not take.

    What a full disk does not take is kept in memory until the disk takes it or the service has it. What another
    service than `server` is to have waits until the agent talks with that one again.
    """

    def __init__(self, folder: Path, server: str = "") -> None:
        self._folder, self._server = folder, server
        self._unwritten: dict[Path, SpooledOutcome] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, job_id: str, token: int, outcome: Mapping[str, Any]) -> None:
        """Keep an outcome: it is whole on the disk when this returns, or the log says why it is not."""
        path = self._folder / f"{_file_name(job_id)}-{token}.json"
        self._unwritten[path] = SpooledOutcome(path, job_id, token, outcome, self._server)
        self._write_what_is_not()

    def waiting(self) -> list[SpooledOutcome]:
        """Return what was not acknowledged yet, oldest first; an unreadable file is set aside."""
        self._write_what_is_not()
        paths = sorted(self._folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        read = (self._read(path) for path in paths)
        return [each for each in read if each is not None and self._is_ours(each)] + list(
            self._unwritten.values()
        )

    def _is_ours(self, spooled: SpooledOutcome) -> bool:
        return not self._server or spooled.server in {"", self._server}

    def acknowledge(self, spooled: SpooledOutcome) -> None:
        """Forget an outcome that the service has."""
        self._unwritten.pop(spooled.path, None)
        spooled.path.unlink(missing_ok=True)

    def set_aside(self, path: Path) -> None:
        """Keep what the service refuses for good out of the way of the others."""
        if self._unwritten.pop(path, None):
            return
        refused = self._folder / "refused"
        refused.mkdir(exist_ok=True)
        path.replace(refused / path.name)

    def _write_what_is_not(self) -> None:
        for path, spooled in list(self._unwritten.items()):
            try:
                _write(spooled)
            except OSError as error:
                log.error("job %s: kept in memory, as %s can't be written: %s", spooled.job_id, path, error)
            else:
                del self._unwritten[path]

    def _read(self, path: Path) -> SpooledOutcome | None:
        try:
            content = json.loads(path.read_text())
            fields = (content["job_id"], content["token"], content["outcome"])
            return SpooledOutcome(path, *fields, content.get("server", ""))
        except (ValueError, KeyError, TypeError):
            self.set_aside(path)
            return None


def _write(spooled: SpooledOutcome) -> None:
    content = {
        "server": spooled.server,
        "job_id": spooled.job_id,
        "token": spooled.token,
        "outcome": spooled.outcome,
    }
    temporary = spooled.path.with_suffix(".part")
    try:
        with temporary.open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(spooled.path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(spooled.path.parent)


def _file_name(job_id: str) -> str:
    """Make a job's id, which another machine chose, safe as a part of a file name."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in job_id)[:100]


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
