"""Blobs on disk: whole or not there."""

from pathlib import Path

import pytest

from service.errors import NotFound
from service.store.blobs import Blobs


def test_a_blob_comes_back_under_its_digest_and_is_stored_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"graph")
    assert blobs.put(b"graph") == digest
    assert blobs.path(digest).read_bytes() == b"graph"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [blobs.path(digest)]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64])
def test_what_is_not_a_stored_digest_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        Blobs(tmp_path).path(name)
