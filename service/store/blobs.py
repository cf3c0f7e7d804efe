"""Content-addressed blobs: graphs and raw samples, each under the sha256 of its bytes, whole or not there."""

import errno
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from service.errors import BlobDamaged, NotFound, StorageFull

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTIAL = ".writing-"


@dataclass(frozen=True)
class StoredBlob:
    """A blob that is there, and when it was put last."""

    digest: str
    put_at_s: float


class Blobs(Protocol):
    """Where blobs lie; what was damaged there is never handed out."""

    def put(self, content: bytes) -> str:
        """Store `content` and return its digest; of what is there already only the time is set anew."""

    def read(self, digest: str) -> bytes:
        """Read a stored blob; NotFound if there is none or `digest` isn't one, BlobDamaged if it has changed."""

    def remove(self, digest: str, unless_put_since_s: float) -> None:
        """Remove a blob, unless it was put again since a time."""

    def all(self) -> Iterator[StoredBlob]:
        """List what is there."""


class FolderBlobs:
    """A folder of files named by the sha256 of their content, written atomically."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes) -> str:
        """See `Blobs.put`; StorageFull where there is no room."""
        digest = digest_of(content)
        path = self._path(digest)
        if _whole_content(path, digest) is not None:
            os.utime(path)
            return digest
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_atomically(path, content)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull(
                    f"no space is left for {path}", hint="free some space and try again"
                ) from error
            raise
        return digest

    def read(self, digest: str) -> bytes:
        """See `Blobs.read`."""
        if not is_digest(digest) or not self._path(digest).is_file():
            raise no_blob(digest)
        path = self._path(digest)
        content = _whole_content(path, digest)
        if content is None:
            raise damaged_blob(str(path))
        return content

    def remove(self, digest: str, unless_put_since_s: float) -> None:
        """See `Blobs.remove`."""
        path = self._path(digest)
        if path.exists() and path.stat().st_mtime < unless_put_since_s:
            path.unlink(missing_ok=True)

    def all(self) -> Iterator[StoredBlob]:
        """See `Blobs.all`; what a killed process left half written is cleared away on the way, after a day."""
        for path in self.folder.glob("??/*"):
            try:
                put_at_s = path.stat().st_mtime
            except FileNotFoundError:
                continue
            if is_digest(path.name):
                yield StoredBlob(path.name, put_at_s)
            elif path.name.startswith(_PARTIAL) and put_at_s < time.time() - 86_400:
                path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest


def digest_of(content: bytes) -> str:
    """Name a content."""
    return hashlib.sha256(content).hexdigest()


def is_digest(text: str) -> bool:
    """Tell whether a text can name a blob."""
    return _DIGEST.fullmatch(text) is not None


def no_blob(digest: str) -> NotFound:
    """Give the error for a blob that isn't there."""
    return NotFound(f"there is no blob {digest[:80]!r}", field="sha256")


def damaged_blob(place: str) -> BlobDamaged:
    """Give the error for a blob that has changed where it lies."""
    return BlobDamaged(
        f"{place} is damaged: its content isn't what was stored there",
        field="sha256",
        hint="check the disk; ordering the same measurement again writes the file anew",
    )


def _whole_content(path: Path, digest: str) -> bytes | None:
    """Return a file's content, None where it is missing, can't be read or isn't what its name promises."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if digest_of(content) == digest else None


def _write_atomically(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_PARTIAL)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
