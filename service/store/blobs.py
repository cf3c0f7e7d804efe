"""Content-addressed blobs on disk, written atomically."""

import errno
import hashlib
import os
import re
import tempfile
from pathlib import Path

from service.errors import BlobDamaged, NotFound, StorageFull

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """A folder of files named by the sha256 of their content; a file that a disk damaged is never handed out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes) -> str:
        """Store `content` unless it is there and whole; return its digest."""
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(digest)
        if _whole_content(path, digest) is not None:
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
        """Read a stored blob; NotFound if there is none or `digest` isn't one, BlobDamaged if it has changed."""
        if not _DIGEST.fullmatch(digest) or not self._path(digest).is_file():
            raise NotFound(f"there is no blob {digest[:80]!r}", field="sha256")
        path = self._path(digest)
        content = _whole_content(path, digest)
        if content is None:
            raise BlobDamaged(
                f"{path} is damaged: its content isn't what was stored there",
                field="sha256",
                hint="check the disk; ordering the same measurement again writes the file anew",
            )
        return content

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest


def _whole_content(path: Path, digest: str) -> bytes | None:
    """Return a file's content, None where it is missing, can't be read or isn't what its name promises."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None


def _write_atomically(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
