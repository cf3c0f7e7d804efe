"""Out of an archive come the pinned files alone, whatever else it holds."""

from pathlib import Path

import pytest

from devices.errors import SupplyError
from devices.supplies.pins import Archive, Member
from devices.supplies.unpacking import unpack
from tests.devices.supplies.small_archives import a_deb, a_wheel, an_ar, sha256

CONTENT = b"library"


def unpacked(tmp_path: Path, file: str, content: bytes, *members: Member) -> set[str]:
    (tmp_path / file).write_bytes(content)
    unpack(Archive(file, sha256(content), len(content), (), members), tmp_path / file, tmp_path / "taken")
    return {path.name for path in (tmp_path / "taken").iterdir()}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("x.whl", a_wheel({"a/lib.so": CONTENT, "../evil": b"!", "/etc/evil": b"!"})),
        (
            "x.deb",
            a_deb({"a/lib.so": CONTENT, "../evil": b"!", "/etc/evil": b"!"}, {"a/link": "/etc/passwd"}),
        ),
    ],
)
def test_only_named_files_are_taken_and_under_their_pinned_names(
    file: str, content: bytes, tmp_path: Path
) -> None:
    assert unpacked(tmp_path, file, content, Member("a/lib.so", "lib.so.1", sha256(CONTENT))) == {"lib.so.1"}
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("member", "complaint"),
    [
        (Member("a/link", "link", sha256(CONTENT)), "a/link is no plain file"),
        (Member("a/none", "none", sha256(CONTENT)), "a/none"),
        (Member("a/lib.so", "lib.so", "0" * 64), "a/lib.so is not the pinned one"),
    ],
)
def test_a_link_a_missing_file_and_another_file_are_refused(
    member: Member, complaint: str, tmp_path: Path
) -> None:
    deb = a_deb({"a/lib.so": CONTENT}, {"a/link": "lib.so"})
    with pytest.raises(SupplyError, match=complaint):
        unpacked(tmp_path, "x.deb", deb, member)
    assert list((tmp_path / "taken").iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"!<arch>\n", b"PK\x03\x04", an_ar({"control.tar.xz": b""}), an_ar({"data.tar.xz": b"no xz"})],
)
def test_what_is_no_debian_package_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(SupplyError, match=r"x\.deb can't be unpacked"):
        unpacked(tmp_path, "x.deb", content, Member("a", "a", ""))
