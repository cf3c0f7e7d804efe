"""Supplies fetched once for all runs of the tests by one user; tests are skipped where they can't be reached."""

import os
from pathlib import Path

import pytest

from devices.errors import SupplyError
from devices.supplies.downloading import fetch
from devices.supplies.pins import Archive, Member
from devices.supplies.store import Supplies, fetch_all
from devices.supplies.unpacking import unpack

BUSYBOX = Archive(
    file="busybox-static_1.35.0-4+deb12u1+b1_arm64.deb",
    sha256="732c9135564fc71337e0e05fb4da4d11e6c28c1834bce3e405e575afef2a52f5",
    size_bytes=822236,
    places=(
        "https://deb.debian.org/debian/pool/main/b/busybox/busybox-static_1.35.0-4+deb12u1+b1_arm64.deb",
        "https://snapshot.debian.org/archive/debian/20261126T000000Z/pool/main/b/busybox/"
        "busybox-static_1.35.0-4+deb12u1+b1_arm64.deb",
    ),
    members=(
        Member("bin/busybox", "busybox", "61781806ad3650b0b9d2b3fc6971e2bffdca967af1a95375abd0578bafff14fb"),
    ),
)
"""The shell and the small commands of an emulated machine."""


def shared_folder() -> Path:
    """The user's own cache, so that repeated runs download nothing."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loopfront-tests"


def shared_stick() -> Path:
    """A folder as `loopfront agent fetch` fills it."""
    return shared_folder() / "stick"


def shared_supplies(platform: str = "linux-aarch64") -> Supplies:
    """The real supplies for a platform, fetched before they are asked for; the test is skipped where that fails."""
    try:
        fetch_all(shared_stick(), [platform])
    except SupplyError as error:
        pytest.skip(f"the supplies can't be reached: {error}")
    return Supplies(shared_folder() / "supplies", from_dir=shared_stick())


def busybox(folder: Path) -> Path:
    """Lay a static busybox for aarch64 into a folder."""
    try:
        unpack(BUSYBOX, fetch(BUSYBOX, shared_folder() / "archives"), folder)
    except SupplyError as error:
        pytest.skip(f"busybox for aarch64 can't be reached: {error}")
    return folder / "busybox"
