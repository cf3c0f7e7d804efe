"""Blobs in an S3-compatible object store, which processes on several machines share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.errors import BadInput, StorageTrouble
from service.store.blobs import StoredBlob, damaged_blob, digest_of, is_digest, no_blob

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RENEWED_AFTER_S = 3600.0
"""An object has no time that could be set: one that is put again after so long is written again."""


class ObjectBlobs:
    """Objects named by the sha256 of their content."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = _open(url)

    def put(self, content: bytes) -> str:
        """See `Blobs.put`; StorageTrouble where the store doesn't take it."""
        digest = digest_of(content)
        with self._trouble_in_words():
            if not self._is_there_since(digest, time.time() - RENEWED_AFTER_S):
                self._store.put(_key(digest), content)
        return digest

    def read(self, digest: str) -> bytes:
        """See `Blobs.read`; StorageTrouble where the store doesn't answer."""
        if not is_digest(digest):
            raise no_blob(digest)
        try:
            with self._trouble_in_words():
                content = bytes(self._store.get(_key(digest)).bytes())
        except FileNotFoundError:
            raise no_blob(digest) from None
        if digest_of(content) != digest:
            raise damaged_blob(f"{self.url}/{_key(digest)}")
        return content

    def remove(self, digest: str, unless_put_since_s: float) -> None:
        """See `Blobs.remove`; StorageTrouble where the store doesn't answer."""
        with self._trouble_in_words():
            if not self._is_there_since(digest, unless_put_since_s):
                self._store.delete(_key(digest))

    def all(self) -> Iterator[StoredBlob]:
        """See `Blobs.all`; StorageTrouble where the store doesn't answer."""
        with self._trouble_in_words():
            for chunk in self._store.list():
                for each in chunk:
                    digest = each["path"].rpartition("/")[2]
                    if is_digest(digest):
                        yield StoredBlob(digest, each["last_modified"].timestamp())

    def _is_there_since(self, digest: str, since_s: float) -> bool:
        try:
            found = self._store.head(_key(digest))
        except FileNotFoundError:
            return False
        return found["last_modified"].timestamp() >= since_s

    @contextmanager
    def _trouble_in_words(self) -> Iterator[None]:
        from obstore.exceptions import BaseError  # noqa: PLC0415 - an extra

        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise StorageTrouble(
                f"the blob store {self.url} takes or gives nothing: {str(error).splitlines()[0][:300]}",
                hint="check AWS_ENDPOINT and the keys; what was measured waits with its agent",
            ) from error


def _open(url: str) -> "ObjectStore":
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415 - an extra
        from obstore.store import from_url  # noqa: PLC0415
    except ImportError:
        raise BadInput(
            "blobs in an object store need obstore",
            field="blob_store",
            hint="pip install 'loopfront[s3]', or leave LOOPFRONT_BLOB_STORE out",
        ) from None
    try:
        return from_url(url)
    except (BaseError, ValueError) as error:
        raise BadInput(
            f"the blob store can't be used: {str(error).splitlines()[0]}",
            field="blob_store",
            hint="use s3://BUCKET/PREFIX, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, where it "
            "isn't Amazon's, AWS_ENDPOINT",
        ) from None


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest}"
