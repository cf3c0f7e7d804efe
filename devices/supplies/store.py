"""Keeps what was fetched unpacked in one folder, and gives it out after a look at its digest."""

import fcntl
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devices.errors import RuntimeLibraryError, SupplyError
from devices.glibc_folder import GlibcFolder
from devices.runtime_library import RuntimeLibrary, installed_runtime
from devices.supplies.downloading import described, fetch, is_sound
from devices.supplies.pins import SOURCES, Archive, Pins, pinned
from devices.supplies.unpacking import unpack, write_whole


class Supplies:
    """The agent's folder of supplies; with `from_dir`, all comes from that folder and nothing over a network."""

    def __init__(self, folder: Path, from_dir: Path | None = None, pins: Pins | None = None) -> None:
        self._folder = folder
        self._from_dir = from_dir
        self._pins = pins or pinned()

    def library(self, platform: str) -> RuntimeLibrary:
        """Return the runtime's library for a platform such as linux-aarch64; raises SupplyError.

        The one that is installed here is taken where it is the very same file.
        """
        pin = next(pin for pin in self._pins.libraries if pin.platform == platform)
        member = pin.wheel.members[0]
        installed = _installed()
        if installed is not None and installed.sha256 == member.sha256:
            return installed
        folder = self._folder / pin.wheel.sha256[:16]
        with self._alone():
            self._unpack_missing([pin.wheel], folder)
        return RuntimeLibrary("onnxruntime", pin.version, str(folder / member.name), member.sha256)

    def glibc(self, architecture: str) -> GlibcFolder:
        """Return Debian's glibc for an architecture such as aarch64; raises SupplyError."""
        pin = next(pin for pin in self._pins.glibc if pin.architecture == architecture)
        made = GlibcFolder(pin.version, "", pin.loader, tuple(sorted(pin.digests.items())))
        folder = self._folder / made.sha256[:16]
        with self._alone():
            self._unpack_missing(pin.packages, folder)
            write_whole(folder / SOURCES, pin.sources_text.encode())
        return made.at(str(folder))

    def _unpack_missing(self, archives: Iterable[Archive], folder: Path) -> None:
        """Fill the folder with the archives' members; what is missing or damaged there is fetched again."""
        for archive in archives:
            if all(is_sound(folder / member.name, member.sha256) for member in archive.members):
                continue
            if self._from_dir is not None:
                unpack(archive, _handed(archive, self._from_dir), folder)
                continue
            fetched = fetch(archive, self._folder)
            unpack(archive, fetched, folder)
            fetched.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one thread or process at a time fetch: others that wait then find it here."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / "lock").open("a")
        except OSError as error:
            raise SupplyError(f"{self._folder} can't be written: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self._folder.glob(".fetching-*"):  # by an agent that was killed
                shutil.rmtree(left, ignore_errors=True)
            yield


def fetch_all(folder: Path, platforms: Iterable[str], pins: Pins | None = None) -> list[Path]:
    """Fetch into a folder everything that devices of these platforms need; what is there and sound stays."""
    return [fetch(archive, folder) for archive in (pins or pinned()).archives_of(platforms)]


def _handed(archive: Archive, folder: Path) -> Path:
    """Return an archive that was brought here by hand; raises SupplyError if it is missing or another."""
    path = folder / archive.file
    if is_sound(path, archive.sha256):
        return path
    trouble = "is damaged, or another file" if path.exists() else "is missing"
    raise SupplyError(
        f"{path} {trouble}: wanted is {described(archive)}. On a machine with a network, type "
        "`loopfront agent fetch --to DIR`, and bring here what it writes to DIR"
    )


def _installed() -> RuntimeLibrary | None:
    try:
        return installed_runtime()
    except RuntimeLibraryError:
        return None
