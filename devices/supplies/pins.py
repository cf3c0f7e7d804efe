"""The table of everything that is fetched: which file, from where, with which digest, and what is taken from it.

`pins.json` is written by ``python -m devices.supplies.repin``, never by hand.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from devices.strict_reading import read

PINS_PATH = Path(__file__).with_name("pins.json")

SOURCES = "SOURCES"
"""The file of a glibc folder that says where its source code is."""


@dataclass(frozen=True)
class Member:
    """One file that is taken out of an archive, and the name under which it lies on a device."""

    path: str
    name: str
    sha256: str


@dataclass(frozen=True)
class PipRequest:
    """How pip is asked for a wheel, so that the user's own index and proxy settings hold."""

    requirement: str
    platform: str
    python: str


@dataclass(frozen=True)
class Archive:
    """A wheel or a Debian package; `places` are tried in turn."""

    file: str
    sha256: str
    size_bytes: int
    places: tuple[str, ...]
    members: tuple[Member, ...]
    pip: PipRequest | None = None


@dataclass(frozen=True)
class LibraryPin:
    """The runtime's wheel for one platform; the first member taken from it is the library."""

    platform: str
    version: str
    wheel: Archive


@dataclass(frozen=True)
class GlibcPin:
    """Debian packages that together make programs for glibc run where there is none, or one too old."""

    architecture: str
    version: str
    loader: str
    packages: tuple[Archive, ...]
    sources: tuple[str, ...]

    @property
    def sources_text(self) -> str:
        """Where the source code of what lies in the folder is found; it lies there too."""
        return "\n".join(["Unchanged files of Debian packages, whose source code is at:", *self.sources, ""])

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of every file of the folder, by its name."""
        taken = {member.name: member.sha256 for package in self.packages for member in package.members}
        return {**taken, SOURCES: hashlib.sha256(self.sources_text.encode()).hexdigest()}


@dataclass(frozen=True)
class Pins:
    """Everything that is fetched."""

    libraries: tuple[LibraryPin, ...]
    glibc: tuple[GlibcPin, ...]

    def archives_of(self, platforms: Iterable[str]) -> list[Archive]:
        """Return the archives that devices of these platforms, such as linux-aarch64, may need."""
        wanted = set(platforms)
        wheels = [pin.wheel for pin in self.libraries if pin.platform in wanted]
        debs = [
            package for pin in self.glibc for package in pin.packages if f"linux-{pin.architecture}" in wanted
        ]
        return wheels + debs


@cache
def pinned() -> Pins:
    """Read the table that ships with the package."""
    return read(Pins, json.loads(PINS_PATH.read_text(encoding="utf-8")), PINS_PATH.name)
