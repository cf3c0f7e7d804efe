"""Debian's C and C++ libraries in one folder, by which a program for glibc runs where there is none, as on Android."""

import hashlib
import posixpath
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class GlibcFolder:
    """The folder at `path`, here or on a device: `digests` are the sha256 of its files, by name, in order."""

    version: str
    path: str
    loader: str
    digests: tuple[tuple[str, str], ...]

    @property
    def sha256(self) -> str:
        """One digest for all: that of what sha256sum prints of its files."""
        listing = "".join(f"{sha256}  {name}\n" for name, sha256 in self.digests)
        return hashlib.sha256(listing.encode()).hexdigest()

    @property
    def numbers(self) -> tuple[int, int]:
        """The version as it is compared, such as (2, 36)."""
        major, minor = self.version.partition("-")[0].split(".")[:2]
        return int(major), int(minor)

    @property
    def command(self) -> tuple[str, ...]:
        """The words that start a program with these libraries and no others; the program's path follows them."""
        return (posixpath.join(self.path, self.loader), "--library-path", self.path)

    def at(self, path: str) -> "GlibcFolder":
        """Return the same files in another place."""
        return replace(self, path=path)
