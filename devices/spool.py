"""Keep finished outcomes in files until the service has acknowledged them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SpooledOutcome:
    """An outcome with the token under which it counts."""

    path: Path
    job_id: str
    token: int
    outcome: Mapping[str, Any]


class Spool:
    """A folder with one file per outcome; `refused/` keeps what the service would not take."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, job_id: str, token: int, outcome: Mapping[str, Any]) -> None:
        """Write an outcome so that it is whole on the disk when this returns."""
        path = self._folder / f"{_file_name(job_id)}-{token}.json"
        temporary = path.with_suffix(".part")
        with temporary.open("w") as file:
            json.dump({"job_id": job_id, "token": token, "outcome": outcome}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(self._folder)

    def waiting(self) -> list[SpooledOutcome]:
        """Return what was not acknowledged yet, oldest first; an unreadable file is set aside."""
        paths = sorted(self._folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        read = (self._read(path) for path in paths)
        return [spooled for spooled in read if spooled is not None]

    def acknowledge(self, spooled: SpooledOutcome) -> None:
        """Forget an outcome that the service has."""
        spooled.path.unlink(missing_ok=True)

    def set_aside(self, path: Path) -> None:
        """Keep what the service refuses for good out of the way of the others."""
        refused = self._folder / "refused"
        refused.mkdir(exist_ok=True)
        path.replace(refused / path.name)

    def _read(self, path: Path) -> SpooledOutcome | None:
        try:
            content = json.loads(path.read_text())
            return SpooledOutcome(path, content["job_id"], content["token"], content["outcome"])
        except (ValueError, KeyError, TypeError):
            self.set_aside(path)
            return None


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
