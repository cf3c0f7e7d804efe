"""Blobs on disk: whole or not there."""

from pathlib import Path

import pytest

from service.errors import BlobDamaged, NotFound
from service.store.blobs import FolderBlobs


def test_a_blob_comes_back_under_its_digest_and_is_stored_once(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    digest = blobs.put(b"graph")
    assert blobs.put(b"graph") == digest
    assert blobs.read(digest) == b"graph"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [digest]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64])
def test_what_is_not_a_stored_digest_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        FolderBlobs(tmp_path).read(name)


def test_a_blob_that_the_disk_damaged_is_refused_until_it_is_stored_again(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    digest = blobs.put(b"graph")
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    file.write_bytes(b"grapf")
    with pytest.raises(BlobDamaged, match=digest):
        blobs.read(digest)
    blobs.put(b"graph")
    assert blobs.read(digest) == b"graph"
