"""`loopfront worker` as real processes beside a service on a real PostgreSQL: shared, killed and taken over."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import COMMAND, loopfront, one_line, port_of, up
from serving import SimulatedWorker, a_small_study, an_owners_client, wait_for_end
from waiting import wait_until

from service.settings import Settings
from service.store.database import Database
from service.store.leads import Leads
from tests.postgresql import PostgresqlServer

LEAD_S = "2"


@pytest.fixture
def database_url(postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    url = postgresql.a_database()
    monkeypatch.setenv("LOOPFRONT_DATABASE_URL", url)
    monkeypatch.setenv("LOOPFRONT_LEAD_SECONDS", LEAD_S)
    yield url
    postgresql.drop(url)


@contextmanager
def a_worker(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start `loopfront worker` and wait until it says so."""
    log = folder.parent / f"worker-{time.monotonic_ns()}.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*COMMAND, "worker", "--data-folder", str(folder)], stdout=file, stderr=file
        )
    try:
        wait_until(lambda: "leader=" in log.read_text())
        yield process
    finally:
        process.kill()
        process.wait()


def leader_of(url: str, study_id: str) -> str:
    database = Database(url)
    try:
        with database.read() as session:
            held = Leads(session).holder(study_id)
            return held[0] if held else ""
    finally:
        database.close()


def test_a_study_whose_leader_is_killed_is_taken_over_and_ends_with_exactly_its_trials(
    database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    with (
        up(folder, 0, "--no-search"),
        an_owners_client(f"http://127.0.0.1:{port_of(folder)}") as client,
        SimulatedWorker(client.url, pause_s=1.0) as agent,
        a_worker(folder) as first,
    ):
        study = client.submit_study(a_small_study(trials=12))
        wait_until(lambda: f":{first.pid}:" in leader_of(database_url, study.id))
        with a_worker(folder) as second:
            wait_until(lambda: len(agent.served) >= 3)
            assert f":{first.pid}:" in leader_of(database_url, study.id)
            first.kill()
            wait_until(lambda: f":{second.pid}:" in leader_of(database_url, study.id), 30)
            assert wait_for_end(client, "small", 90) == "finished"
        trials = client.trials("small")
    assert [trial.number for trial in trials] == list(range(1, len(trials) + 1))
    assert len([trial for trial in trials if trial.kind != "reference"]) == 12
    assert {trial.state for trial in trials} == {"measured"}
    assert len(agent.served) == len(set(agent.served)), "nothing was measured twice"


@pytest.mark.slow
def test_two_workers_share_studies_and_one_that_stops_gives_its_own_back(
    database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    with (
        up(folder, 0, "--no-search"),
        an_owners_client(f"http://127.0.0.1:{port_of(folder)}") as client,
        a_worker(folder) as one,
        a_worker(folder) as two,
    ):
        ids = [client.submit_study(a_small_study(f"small-{number}")).id for number in range(4)]
        wait_until(lambda: all(leader_of(database_url, each) for each in ids))
        one.terminate()
        assert one.wait(20) == 0
        wait_until(lambda: all(f":{two.pid}:" in leader_of(database_url, each) for each in ids), 20)


def test_a_worker_without_postgresql_is_refused_in_one_line(tmp_path: Path) -> None:
    done = loopfront("worker", "--data-folder", str(tmp_path), LOOPFRONT_DATABASE_URL="")
    assert done.returncode == 1
    assert "LOOPFRONT_DATABASE_URL" in one_line(done.stderr)


def test_settings_find_the_database(database_url: str) -> None:
    assert Settings().database_url == database_url
