"""Blobs in an S3-compatible store: moto's server, spoken to over HTTP as any other."""

from collections.abc import Iterator

import httpx2
import pytest

from service.errors import BadInput, BlobDamaged, NotFound, StorageTrouble
from service.store.object_blobs import ObjectBlobs

moto = pytest.importorskip("moto.server", reason="moto isn't installed: pip install -e .[test]")
URL = "s3://samples/loopfront"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    httpx2.put(f"{address}/samples", trust_env=False).raise_for_status()
    yield address
    server.stop()


def test_a_blob_comes_back_under_its_digest_from_another_process(endpoint: str) -> None:
    digest = ObjectBlobs(URL).put(b"graph")
    assert ObjectBlobs(URL).put(b"graph") == digest
    assert ObjectBlobs(URL).read(digest) == b"graph"
    assert [each.digest for each in ObjectBlobs(URL).all()] == [digest]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 64])
def test_what_is_not_a_stored_digest_is_not_found(endpoint: str, name: str) -> None:
    with pytest.raises(NotFound):
        ObjectBlobs(URL).read(name)


def test_an_object_that_somebody_changed_is_refused(endpoint: str) -> None:
    digest = ObjectBlobs(URL).put(b"graph")
    ObjectBlobs(URL)._store.put(f"{digest[:2]}/{digest}", b"grapf")
    with pytest.raises(BlobDamaged, match=digest):
        ObjectBlobs(URL).read(digest)


def test_what_was_put_again_is_not_removed(endpoint: str) -> None:
    blobs = ObjectBlobs(URL)
    digest = blobs.put(b"another graph")
    blobs.remove(digest, unless_put_since_s=0.0)
    assert blobs.read(digest) == b"another graph"
    blobs.remove(digest, unless_put_since_s=4e9)
    with pytest.raises(NotFound):
        blobs.read(digest)


def test_a_store_that_is_away_is_trouble_for_a_while_and_says_so(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    blobs = ObjectBlobs(URL)
    with pytest.raises(StorageTrouble, match="s3://samples/loopfront"):
        blobs.put(b"graph")


def test_a_url_of_no_store_is_one_clear_error() -> None:
    with pytest.raises(BadInput, match="blob store"):
        ObjectBlobs("nonsense")
