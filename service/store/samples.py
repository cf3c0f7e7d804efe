"""Raw samples of measurements: too large for a table, so a blob each, readable with zcat."""

import gzip
import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from devices.outcome import Measured
from service.errors import BlobDamaged
from service.store.blobs import Blobs, damaged_blob


def put_samples(blobs: Blobs, outcome: Mapping[str, Any]) -> str | None:
    """Store a measurement with all its samples and return its digest; a failure, which is small, stays in its row."""
    if outcome.get("kind") != Measured.kind:
        return None
    return blobs.put(gzip.compress(to_json(outcome), compresslevel=1, mtime=0))


def read_samples(blobs: Blobs, digest: str) -> dict[str, Any]:
    """Read what `put_samples` stored; BlobDamaged or NotFound where it isn't there any more."""
    try:
        outcome: dict[str, Any] = json.loads(gzip.decompress(blobs.read(digest)))
    except (OSError, ValueError) as error:
        if isinstance(error, BlobDamaged):
            raise
        raise damaged_blob(digest) from error
    return outcome
