"""Supplies are fetched once, by digest, from a server or a folder; whatever is damaged is noticed."""

import importlib.util
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devices.errors import SupplyError
from devices.supplies.pins import Archive, LibraryPin, Pins, PipRequest
from devices.supplies.store import Supplies, fetch_all
from tests.devices.supplies.small_archives import (
    LIBRARY,
    LICENCE,
    LOADER,
    CountingServer,
    SmallSupplies,
    a_server,
    a_wheel,
    an_archive,
    sha256,
)

AWAY = "http://127.0.0.1:9"  # the port that discards: nobody listens


@pytest.fixture
def small(tmp_path: Path) -> SmallSupplies:
    return SmallSupplies(tmp_path / "www")


@pytest.fixture
def server(small: SmallSupplies) -> Iterator[CountingServer]:
    with a_server(small.folder) as running:
        yield running


def test_a_library_is_fetched_once_and_then_found(
    small: SmallSupplies, server: CountingServer, tmp_path: Path
) -> None:
    supplies = Supplies(tmp_path / "kept", pins=small.pins(server.address))
    library = supplies.library("linux-aarch64")
    assert Path(library.path).read_bytes() == LIBRARY
    assert (library.version, library.sha256) == ("1.0", sha256(LIBRARY))
    assert supplies.library("linux-aarch64") == library
    assert server.asked == ["/small.whl"]


def test_the_glibc_folder_holds_what_was_pinned_with_licences_and_sources_and_nothing_more(
    small: SmallSupplies, server: CountingServer, tmp_path: Path
) -> None:
    glibc = Supplies(tmp_path / "kept", pins=small.pins(server.address)).glibc("aarch64")
    found = {path.name: path.read_bytes() for path in Path(glibc.path).iterdir()}
    assert (found["ld.so"], found["copyright"]) == (LOADER, LICENCE)
    assert b"https://example.org/glibc" in found["SOURCES"]
    assert {name: sha256(content) for name, content in found.items()} == dict(glibc.digests)
    assert glibc.command == (f"{glibc.path}/ld.so", "--library-path", glibc.path)


def test_a_damaged_file_is_noticed_and_fetched_again(
    small: SmallSupplies, server: CountingServer, tmp_path: Path
) -> None:
    supplies = Supplies(tmp_path / "kept", pins=small.pins(server.address))
    library = Path(supplies.library("linux-aarch64").path)
    loader, sources = (Path(supplies.glibc("aarch64").path) / name for name in ("ld.so", "SOURCES"))
    for path in (library, loader, sources):
        path.write_bytes(path.read_bytes()[:-1])
    supplies.library("linux-aarch64")
    supplies.glibc("aarch64")
    assert (library.read_bytes(), loader.read_bytes()) == (LIBRARY, LOADER)
    assert server.asked == ["/small.whl", "/libc6.deb"] * 2


def test_the_second_place_is_tried_when_the_first_no_longer_has_it(
    small: SmallSupplies, server: CountingServer, tmp_path: Path
) -> None:
    pins = small.pins(AWAY, f"{server.address}/gone", server.address)
    assert Path(Supplies(tmp_path / "kept", pins=pins).library("linux-aarch64").path).exists()
    assert server.asked == ["/gone/small.whl", "/small.whl"]


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"!", lambda b: b"?" + b[1:]])
def test_another_file_than_the_pinned_one_is_refused_and_not_kept(
    change: object, small: SmallSupplies, server: CountingServer, tmp_path: Path
) -> None:
    pins = small.pins(server.address)
    (small.folder / "small.whl").write_bytes(change(small.wheel))  # type: ignore[operator]
    with pytest.raises(SupplyError, match=r"small\.whl.* can't be fetched: .*(another file|more came)"):
        Supplies(tmp_path / "kept", pins=pins).library("linux-aarch64")
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"lock"}


def test_without_a_network_the_error_names_file_digest_and_the_way_out(
    small: SmallSupplies, tmp_path: Path
) -> None:
    with pytest.raises(SupplyError) as caught:
        Supplies(tmp_path / "kept", pins=small.pins(AWAY)).library("linux-aarch64")
    for part in ("small.whl", sha256(small.wheel), AWAY, "loopfront agent fetch --to DIR", "--from-dir"):
        assert part in str(caught.value)


def test_what_fetch_wrote_serves_an_agent_without_any_network(
    small: SmallSupplies, server: CountingServer, tmp_path: Path
) -> None:
    written = fetch_all(tmp_path / "stick", ["linux-aarch64"], small.pins(server.address))
    assert [path.name for path in written] == ["small.whl", "libc6.deb"]
    fetch_all(tmp_path / "stick", ["linux-aarch64"], small.pins(server.address))
    assert server.asked == ["/small.whl", "/libc6.deb"]
    supplies = Supplies(tmp_path / "kept", tmp_path / "stick", small.pins(AWAY))
    assert Path(supplies.library("linux-aarch64").path).read_bytes() == LIBRARY
    assert (Path(supplies.glibc("aarch64").path) / "ld.so").read_bytes() == LOADER


def test_from_a_folder_nothing_is_asked_of_the_network_even_if_a_file_is_missing_or_damaged(
    small: SmallSupplies, server: CountingServer, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    supplies = Supplies(tmp_path / "kept", stick, small.pins(server.address))
    with pytest.raises(SupplyError, match=r"stick/small\.whl is missing: .*sha256 [0-9a-f]{64}.*agent fetch"):
        supplies.library("linux-aarch64")
    (stick / "small.whl").write_bytes(small.wheel[:-1])
    with pytest.raises(SupplyError, match=r"stick/small\.whl is damaged, or another file"):
        supplies.library("linux-aarch64")
    assert server.asked == []


def test_many_devices_that_need_the_same_file_fetch_it_once(
    small: SmallSupplies, server: CountingServer, tmp_path: Path
) -> None:
    pins, found = small.pins(server.address), []
    threads = [
        threading.Thread(target=lambda: found.append(Supplies(tmp_path / "kept", pins=pins).glibc("aarch64")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert server.asked == ["/libc6.deb"]


def test_what_an_agent_that_was_killed_left_behind_is_tidied_up(
    small: SmallSupplies, server: CountingServer, tmp_path: Path
) -> None:
    left = tmp_path / "kept" / ".fetching-abc"
    left.mkdir(parents=True)
    (left / "small.whl").write_bytes(b"half")
    Supplies(tmp_path / "kept", pins=small.pins(server.address)).library("linux-aarch64")
    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_one_clear_line(small: SmallSupplies, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SupplyError, match=r"file/kept can't be written"):
        Supplies(tmp_path / "file" / "kept", pins=small.pins(AWAY)).library("linux-aarch64")


def test_the_installed_runtime_is_not_fetched(tmp_path: Path) -> None:
    from devices.platforms import own_platform
    from devices.runtime_library import installed_runtime

    own = own_platform()
    if own is None:
        pytest.skip("there is no runtime for this machine")
    library = Supplies(tmp_path / "kept", tmp_path / "no such folder").library(own.name)
    assert library == installed_runtime()


def a_wheel_at_an_index(folder: Path, version: str = "1.0") -> Archive:
    """A real wheel for aarch64 and the index that pip asks for it."""
    information = f"small-{version}.dist-info"
    wheel = a_wheel(
        {
            "small/lib.so": LIBRARY,
            f"{information}/METADATA": f"Metadata-Version: 2.1\nName: small\nVersion: {version}\n".encode(),
            f"{information}/WHEEL": b"Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_28_aarch64\n",
            f"{information}/RECORD": b"",
        }
    )
    file = f"small-{version}-cp311-cp311-manylinux_2_28_aarch64.whl"
    (folder / "simple" / "small").mkdir(parents=True)
    (folder / "simple" / "small" / file).write_bytes(wheel)
    (folder / "simple" / "small" / "index.html").write_text(f'<a href="{file}">{file}</a>')
    asked = PipRequest(f"small=={version}", "manylinux_2_28_aarch64", "311")
    return replace(an_archive(file, wheel, {"small/lib.so": LIBRARY}, AWAY), pip=asked)


@pytest.fixture
def index(server: CountingServer, monkeypatch: pytest.MonkeyPatch) -> CountingServer:
    """The user's pip is told of an index of his own."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("pip is not installed")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.address}/simple")
    return server


def test_a_wheel_comes_from_the_index_that_the_users_pip_is_told_of(
    small: SmallSupplies, index: CountingServer, tmp_path: Path
) -> None:
    archive = a_wheel_at_an_index(small.folder)
    pins = Pins((LibraryPin("linux-aarch64", "1.0", archive),), ())
    library = Supplies(tmp_path / "kept", pins=pins).library("linux-aarch64")
    assert Path(library.path).read_bytes() == LIBRARY
    assert index.asked[0] == "/simple/small/"


def test_another_wheel_at_that_index_is_refused_by_its_digest(
    small: SmallSupplies, index: CountingServer, tmp_path: Path
) -> None:
    archive = replace(a_wheel_at_an_index(small.folder), sha256="0" * 64)
    with pytest.raises(SupplyError, match=r"small-1\.0.* can't be fetched: pip: "):
        Supplies(tmp_path / "kept", pins=Pins((LibraryPin("a", "1.0", archive),), ())).library("a")
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"lock"}
