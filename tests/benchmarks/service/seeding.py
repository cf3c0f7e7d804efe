"""Fills a database as months of use would: studies with their trials, and jobs for every device."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import insert, text, update
from sqlalchemy.orm import Session

from service.leases import CANCELLED, LEASED, WAITING
from service.store.database import Database, database_now
from service.store.identifiers import new_id
from service.store.rows import CandidateRow, JobRow, StudyRow, TrialRow

TARGET = "laptop"
METRICS = (
    "estimated_relative_loss",
    f"ttft_ms_p50@{TARGET}",
    f"tpot_ms_p50@{TARGET}",
    f"peak_rss_mb@{TARGET}",
)
STUDY = """
study: {name}
seed: {seed}
trials: {trials}
budget: {{parameters: 6M, tolerance: 0.02}}
space:
  vocabulary: 8192
  embedding_ratio: [0.1, 0.6]
  depth: [4, 10]
  mixers:
    short_conv: {{kernel_size: [3, 4]}}
    grouped_query_attention: {{head_size: 64, kv_heads: [1]}}
workload: {{prompt_tokens: 32, context_tokens: 64, generate_tokens: 16}}
targets:
  laptop: {{device: {device}}}
objectives: [{objectives}]
"""
_AT_ONCE = 2000
_DIGEST = "simulated"


def study_document(name: str, seed: int, trials: int, device: str) -> str:
    """Write a study of four objectives on one device."""
    return STUDY.format(name=name, seed=seed, trials=trials, device=device, objectives=", ".join(METRICS))


def add_trials(database: Database, study_id: str, first: int, count: int, seed: int) -> None:
    """Add measured trials, numbered from `first` on, to a study; their numbers are simulated."""
    numbers = np.random.default_rng(seed).lognormal(0.0, 0.4, (count, len(METRICS)))
    for start in range(0, count, _AT_ONCE):
        with database.write() as session:
            _keep_candidate(session)
            rows = list(_trials(session, study_id, first + start, numbers[start : start + _AT_ONCE]))
            session.execute(insert(TrialRow), rows)
    with database.write() as session:
        row = session.get_one(StudyRow, study_id)
        row.trials_counted += count
        row.trials_done += count


def add_jobs(
    database: Database, devices: Sequence[str], studies: Sequence[str], each: int, plan: Mapping[str, Any]
) -> None:
    """Put so many jobs on the list of each device, of all studies in turns, and nothing of an earlier round."""
    left = update(JobRow).where(JobRow.state.in_((WAITING, LEASED)))
    with database.write() as session:
        session.execute(left.values(state=CANCELLED, lease_expires_at=None))
        now = database_now(session)
        for number in range(each):
            rows = [
                {
                    "id": new_id("job"),
                    "device_id": device,
                    "study_id": None,
                    "purpose": "trial",
                    "cache_key": new_id("key"),
                    "bypasses_cache": False,
                    "plan": dict(plan),
                    "priority": 0,
                    "state": WAITING,
                    "token": 0,
                    "not_before": now,
                    "created_at": now,
                    "outcome": "",
                    "detail": "",
                }
                | {"study_id": studies[(number + place) % len(studies)]}
                for place, device in enumerate(devices)
            ]
            session.execute(insert(JobRow), rows)


def settle(database: Database) -> None:
    """Let the database finish with many rows that came at once, as none do in use, before anything is timed."""
    with database.engine.connect() as connection:
        alone = connection.execution_options(isolation_level="AUTOCOMMIT")
        alone.execute(text("PRAGMA wal_checkpoint(TRUNCATE)" if database.has_one_writer else "CHECKPOINT"))
        alone.execute(text("ANALYZE" if database.has_one_writer else "VACUUM ANALYZE"))


def _keep_candidate(session: Session) -> None:
    if session.get(CandidateRow, _DIGEST) is None:
        now = database_now(session)
        session.add(CandidateRow(digest=_DIGEST, layout="CCACCACCACACACAC", architecture={}, created_at=now))
        session.flush()


def _trials(
    session: Session, study_id: str, first: int, numbers: "np.ndarray[Any, Any]"
) -> Iterator[dict[str, Any]]:
    now = database_now(session)
    for number, values in enumerate(numbers.tolist(), start=first):
        observations = {
            name: {"value": value, "low": 0.99 * value, "high": 1.01 * value, "raw": value}
            for name, value in zip(METRICS, values, strict=True)
        }
        yield {
            "id": new_id("trial"),
            "study_id": study_id,
            "number": number,
            "kind": "trial",
            "label": "",
            "candidate_digest": _DIGEST,
            "parameters": {"depth": 8, "width": 3, "embedding": 0.4, "mixer_0": 0.1, "mixer_1": 0.9},
            "state": "measured",
            "outcome": "measured",
            "detail": "",
            "observations": observations,
            "work_seconds": 0.1,
            "hypervolume": None,
            "created_at": now,
            "launched_at": now,
            "finished_at": now,
        }
