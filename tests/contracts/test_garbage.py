"""Blobs are kept for as long as something refers to them."""

from pathlib import Path
from typing import Any

import pytest

from service.errors import StartRefused
from service.store.blob_home import require_same_blobs
from service.store.blobs import FolderBlobs
from service.store.database import Database
from service.store.garbage import remove_garbage
from service.store.jobs import JobDraft, Jobs
from service.store.measurements import Measurements
from service.store.samples import put_samples
from tests.contracts.store_builders import an_agent_with_device, leased

MEASURED = {"kind": "measured", "note": "simulated: this store test reads no numbers", "samples": [1.5, 2.5]}
EVERYTHING_S = -60.0
"""Even what was put just now is old enough."""


@pytest.fixture
def blobs(database: Database, tmp_path: Path) -> FolderBlobs:
    blobs = FolderBlobs(tmp_path / "blobs")
    database._info["loopfront_blobs"] = blobs
    return blobs


def a_job_with_graph(database: Database, device_id: str, graph: str) -> str:
    plan: dict[str, Any] = {"candidate": {"graph_sha256": graph}}
    with database.write() as session:
        return Jobs(session).create(JobDraft(device_id, None, "single", graph, plan)).id


def test_samples_stay_with_their_measurement_and_graphs_with_open_jobs(
    database: Database, blobs: FolderBlobs
) -> None:
    agent, device = an_agent_with_device(database)
    done, open_ = blobs.put(b"a graph that was measured"), blobs.put(b"a graph that waits")
    stray = blobs.put(b"of a job that never came to be")
    job_id = a_job_with_graph(database, device, done)
    token = leased(database, agent, device)
    assert token is not None
    a_job_with_graph(database, device, open_)
    samples = put_samples(blobs, MEASURED)
    assert samples is not None
    with database.write() as session:
        measurement_id = Jobs(session).report(job_id, token, MEASURED, samples)
        assert measurement_id is not None
        assert Measurements(session).get(measurement_id).outcome is None
    assert remove_garbage(database, blobs, EVERYTHING_S) == 2
    assert {each.digest for each in blobs.all()} == {open_, samples}
    assert stray not in {each.digest for each in blobs.all()}
    with database.read() as session:
        measurements = Measurements(session)
        assert measurements.outcome_of(measurements.get(measurement_id)) == MEASURED


def test_refused_samples_are_kept_as_evidence(database: Database, blobs: FolderBlobs) -> None:
    samples = put_samples(blobs, MEASURED)
    with database.write() as session:
        Jobs(session).keep_evidence("job", 1, "superseded", MEASURED, samples)
    assert remove_garbage(database, blobs, EVERYTHING_S) == 0


def test_what_was_put_lately_is_left_for_the_row_that_is_to_refer_to_it(
    database: Database, blobs: FolderBlobs
) -> None:
    digest = blobs.put(b"a graph whose job is created next")
    assert remove_garbage(database, blobs) == 0
    assert blobs.read(digest)


def test_a_failure_is_small_and_stays_in_its_row(blobs: FolderBlobs) -> None:
    assert put_samples(blobs, {"kind": "out_of_memory", "reason": "simulated", "log": ""}) is None
    assert list(blobs.all()) == []


def test_a_database_knows_its_blobs_again_and_refuses_others(
    database: Database, blobs: FolderBlobs, tmp_path: Path
) -> None:
    require_same_blobs(database, blobs)
    assert remove_garbage(database, blobs, EVERYTHING_S) == 0
    require_same_blobs(database, FolderBlobs(blobs.folder))
    with pytest.raises(StartRefused, match="elsewhere") as refusal:
        require_same_blobs(database, FolderBlobs(tmp_path / "other"))
    assert refusal.value.field == "LOOPFRONT_BLOB_STORE"
