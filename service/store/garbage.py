"""Remove blobs that nothing refers to any more."""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.leases import LEASED, WAITING
from service.store.blob_home import mark_digest
from service.store.blobs import Blobs, StoredBlob
from service.store.database import Database
from service.store.rows import EvidenceRow, JobRow, MeasurementRow

KEPT_S = 86_400.0
"""A blob is put before the row that refers to it; a day later that is written, or never will be."""

_BATCH = 500


def remove_garbage(database: Database, blobs: Blobs, kept_s: float = KEPT_S) -> int:
    """Remove what was put more than `kept_s` ago and is of no use; return how many blobs that were.

    Of use are the samples of measurements and of refused results, and the graphs of jobs that may still be measured:
    any other graph is made anew from its architecture when it is wanted.
    """
    before_s = time.time() - kept_s
    removed = 0
    older = _older(blobs.all(), before_s)
    while batch := list(islice(older, _BATCH)):
        with database.read() as session:
            used = _used(session, batch)
        for digest in (digest for digest in batch if digest not in used):
            blobs.remove(digest, unless_put_since_s=before_s)
            removed += 1
    return removed


def _older(stored: Iterable[StoredBlob], before_s: float) -> Iterator[str]:
    return (each.digest for each in stored if each.put_at_s < before_s)


def _used(session: Session, digests: Sequence[str]) -> set[str]:
    found = set()
    for row in (MeasurementRow, EvidenceRow):
        found |= set(session.scalars(select(row.samples).where(row.samples.in_(digests))))
    return {each for each in found if each} | _graphs_of_open_jobs(session) | {mark_digest(session)}


def _graphs_of_open_jobs(session: Session) -> set[str]:
    plans = session.scalars(select(JobRow.plan).where(JobRow.state.in_((WAITING, LEASED))))
    models = (plan.get(name) or {} for plan in plans for name in ("candidate", "sentinel"))
    return {model["graph_sha256"] for model in models if "graph_sha256" in model}
