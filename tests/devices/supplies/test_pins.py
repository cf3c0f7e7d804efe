"""The table that ships: complete, for the runtime that is installed, and true where its places can be reached."""

import importlib.metadata
import re
from pathlib import Path

import pytest

from devices.platforms import PLATFORMS
from devices.supplies.pins import pinned
from devices.supplies.store import Supplies
from tests.devices.shared_supplies import shared_supplies


def test_every_platform_has_its_library_of_the_installed_version() -> None:
    assert {pin.platform for pin in pinned().libraries} == {platform.name for platform in PLATFORMS.values()}
    assert {pin.version for pin in pinned().libraries} == {importlib.metadata.version("onnxruntime")}


def test_every_architecture_of_linux_has_a_glibc_with_what_the_runtime_needs_and_its_licences() -> None:
    assert {f"linux-{pin.architecture}" for pin in pinned().glibc} == {"linux-x86_64", "linux-aarch64"}
    needed = {"libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0"}
    needed |= {"libstdc++.so.6", "libgcc_s.so.1", "SOURCES"}
    needed |= {f"LICENCE.{name}" for name in ("glibc", "gcc", "LGPL-2.1", "GPL-2", "GPL-3")}
    for pin in pinned().glibc:
        assert set(pin.digests) == needed | {pin.loader}


def test_every_file_has_a_digest_and_two_places_or_pip() -> None:
    for archive in pinned().archives_of(platform.name for platform in PLATFORMS.values()):
        digests = [archive.sha256, *(member.sha256 for member in archive.members)]
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)
        assert archive.pip is not None or len(archive.places) == 2
        assert all(place.startswith("https://") and place.endswith(archive.file) for place in archive.places)


def test_names_that_lie_on_a_device_are_plain() -> None:
    for archive in pinned().archives_of(platform.name for platform in PLATFORMS.values()):
        assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", member.name) for member in archive.members)


@pytest.fixture
def supplies() -> Supplies:
    return shared_supplies()


def test_what_the_table_names_can_be_fetched_and_is_for_its_architecture(supplies: Supplies) -> None:
    library = supplies.library("linux-aarch64")
    glibc = supplies.glibc("aarch64")
    for path in (Path(library.path), Path(glibc.path) / glibc.loader, Path(glibc.path) / "libc.so.6"):
        assert path.read_bytes()[18:20] == bytes([183, 0])
    assert b"GNU LESSER GENERAL PUBLIC LICENSE" in (Path(glibc.path) / "LICENCE.LGPL-2.1").read_bytes()
