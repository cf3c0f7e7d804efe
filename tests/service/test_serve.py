"""`loopfront serve` beside `loopfront up`, as real processes on a real PostgreSQL: two doors into one service."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from command_line import COMMAND, loopfront, one_line, port_of, up
from serving import (
    HandDrivenAgent,
    a_simulated_result,
    a_small_study,
    an_owners_client,
    know_tokens,
    owner_of,
)
from waiting import wait_until

from service.settings import Settings
from service.store.database import Database
from service.store.jobs import JobDraft, Jobs
from tests.postgresql import PostgresqlServer


@pytest.fixture
def database_url(postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    url = postgresql.a_database()
    monkeypatch.setenv("LOOPFRONT_DATABASE_URL", url)
    yield url
    postgresql.drop(url)


@contextmanager
def another_door(folder: Path) -> Iterator[str]:
    """Start `loopfront serve` on a free port and give its URL."""
    log = folder.parent / "serve.log"
    with log.open("ab") as file:
        command = [*COMMAND, "serve", "--data-folder", str(folder), "--port", "0"]
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        wait_until(lambda: "port=" in log.read_text())
        port = re.search(r"port=(\d+)", log.read_text())
        assert port is not None
        url = f"http://127.0.0.1:{port[1]}"
        know_tokens(url, folder)
        yield url
    finally:
        process.terminate()
        assert process.wait(30) == 0, log.read_text()


def test_what_happens_through_one_door_is_seen_through_the_other(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with up(folder, 0, "--no-search"), another_door(folder) as second:
        first = f"http://127.0.0.1:{port_of(folder)}"
        agent = HandDrivenAgent(first)
        headers = {"Authorization": f"Bearer {owner_of(second)}"}
        with (
            an_owners_client(first) as client,
            httpx2.stream("GET", f"{second}/api/v1/events", headers=headers, timeout=20) as stream,
        ):
            lines = stream.iter_lines()
            assert next(lines).startswith(":")
            client.submit_study(a_small_study("small"))
            assert next(line for line in lines if line.startswith("data:") and "small" in line)
        database = Database(Settings(data_folder=folder).database_url)
        with database.write() as session:
            Jobs(session).create(JobDraft(agent.device_id, None, "single", "key", {"simulated": True}))
        database.close()
        job = agent.lease(wait_s=10)
        assert job is not None
        agent.http.base_url = httpx2.URL(f"{second}/api/v1")
        assert agent.report(job, a_simulated_result()).is_success
        with an_owners_client(second) as client:
            assert [each.name for each in client.studies()] == ["small"]
        agent.close()


def test_without_postgresql_it_is_refused_in_one_line(tmp_path: Path) -> None:
    refused = loopfront("serve", "--data-folder", str(tmp_path), "--port", "0")
    assert refused.returncode == 1
    assert "another process that answers beside the service needs PostgreSQL" in one_line(refused.stderr)
