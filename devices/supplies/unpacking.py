"""Takes the named files out of a wheel or a Debian package, and nothing else."""

import hashlib
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from devices.errors import SupplyError
from devices.supplies.pins import Archive, Member

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60
_DAMAGED = (KeyError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error)


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
                write_whole(folder / member.name, _checked(take(member.path), member))
    except (OSError, *_DAMAGED) as error:
        raise SupplyError(f"{path} can't be unpacked into {folder}: {error}") from error


def write_whole(target: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it; whoever writes is alone there. Raises SupplyError."""
    temporary = target.with_name(f"{target.name}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    except OSError as error:
        raise SupplyError(f"{target} can't be written: {error.strerror}") from error


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


def _checked(content: bytes, member: Member) -> bytes:
    if hashlib.sha256(content).hexdigest() != member.sha256:
        raise ValueError(f"its {member.path} is not the pinned one")
    return content
