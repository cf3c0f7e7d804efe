"""Takes the named files out of a wheel or a Debian package, and nothing else."""

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from devices.errors import SupplyError
from devices.supplies.pins import Archive

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60


def unpack(archive: Archive, path: Path, folder: Path) -> None:
    """Write the archive's members into `folder`, each whole or not at all; raises SupplyError.

    What names a file is the table of pins, never the archive: no path inside it is followed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = zipfile.ZipFile(path) if path.suffix == ".whl" else _opened_deb(path)
        with opened:
            take = opened.read if isinstance(opened, zipfile.ZipFile) else _taker(opened)
            for member in archive.members:
                _write(folder / member.name, take(member.path), member.sha256)
    except (OSError, KeyError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise SupplyError(f"{path} can't be unpacked into {folder}: {error}") from error


def data_of_deb(content: bytes) -> io.BytesIO:
    """Return the data.tar.xz of a Debian package, which is an ar archive; raises ValueError if there is none."""
    if not content.startswith(_AR_MAGIC):
        raise ValueError("it is no ar archive")
    start = len(_AR_MAGIC)
    while start + _AR_HEADER_BYTES <= len(content):
        header = content[start : start + _AR_HEADER_BYTES]
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        start += _AR_HEADER_BYTES
        if name == "data.tar.xz":
            return io.BytesIO(content[start : start + size])
        start += size + size % 2
    raise ValueError("it holds no data.tar.xz")


def _opened_deb(path: Path) -> tarfile.TarFile:
    return tarfile.open(fileobj=data_of_deb(path.read_bytes()), mode="r:xz")


def _taker(data: tarfile.TarFile) -> Callable[[str], bytes]:
    def take(path: str) -> bytes:
        member = data.getmember(f"./{path}")
        file = data.extractfile(member) if member.isreg() else None
        if file is None:
            raise ValueError(f"{path} is no plain file")
        return file.read()

    return take


def _write(target: Path, content: bytes, sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{target.name} in it is not the pinned one")
    temporary = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
