"""The database is gone for a while, or the disk is full: one clear answer each, and no finished measurement is lost."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from serving import (
    HandDrivenAgent,
    SimulatedWorker,
    a_service,
    a_simulated_result,
    a_small_study,
    as_owner,
    wait_for_end,
)
from waiting import wait_until

from tests.postgresql import PostgresqlServer, a_postgresql, trouble

AWAY_S = 5.0
A_MINUTE_S = 60.0
ROOM = "64m"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresqlServer]:
    """A server of this test alone, for it is stopped."""
    if reason := trouble():
        pytest.skip(reason)
    with a_postgresql() as server:
        monkeypatch.setenv("LOOPFRONT_DATABASE_URL", server.a_database())
        yield server


@pytest.mark.parametrize("away_s", [AWAY_S, pytest.param(A_MINUTE_S, marks=pytest.mark.slow)])
def test_a_database_that_is_gone_for_a_while_costs_time_and_nothing_else(
    server: PostgresqlServer, tmp_path: Path, away_s: float
) -> None:
    with (
        a_service(tmp_path, with_loop=True, lease_seconds=3, heartbeat_seconds=1) as running,
        SimulatedWorker(running.url, pause_s=0.2) as worker,
        running.client() as client,
    ):
        client.submit_study(a_small_study("small", trials=12))
        wait_until(lambda: len(worker.served) >= 3)
        server.stop()
        answer = as_owner("GET", f"{running.url}/api/v1/studies")
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
        assert httpx2.get(f"{running.url}/api/v1/readyz", trust_env=False).status_code == 503
        assert httpx2.get(f"{running.url}/api/v1/healthz", trust_env=False).is_success
        time.sleep(away_s)
        server.start()
        assert wait_for_end(client, "small", timeout_s=120) == "finished"
        trials = client.trials("small")
        assert {trial.state for trial in trials} == {"measured"}
        assert sum(trial.kind != "reference" for trial in trials) == 12
    assert len(worker.served) == len(set(worker.served)), "nothing was measured twice"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_keeps_the_result_with_its_agent_until_there_is_room(small_disk: Path) -> None:
    with a_service(small_disk, with_loop=True) as running, running.client() as client:
        client.submit_study(a_small_study("small", trials=2))
        agent = HandDrivenAgent(running.url)
        job = agent.lease(20)
        assert job is not None
        fill(small_disk)
        told = agent.report(job, a_simulated_result())
        assert (told.status_code, told.json()["code"]) == (507, "storage-full")
        ready = as_owner("GET", f"{running.url}/api/v1/readyz")
        assert ready.status_code == 503
        assert "full" in " ".join(ready.json()["troubles"])
        assert as_owner("GET", f"{running.url}/api/v1/studies").is_success, "what is there can still be read"
        (small_disk / "filling").unlink()
        assert agent.report(job, a_simulated_result()).is_success
        assert as_owner("GET", f"{running.url}/api/v1/readyz").is_success
        agent.close()


def fill(folder: Path) -> None:
    """Leave no byte free."""
    with (folder / "filling").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(2**16))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            return
