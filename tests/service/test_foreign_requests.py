"""What comes from elsewhere: other names, other sites' pages, and text that would move a terminal's cursor."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import HandDrivenAgent, Running, a_service, a_simulated_result, a_small_study
from starlette.testclient import TestClient

from service.app import create_app
from service.store.jobs import JobDraft, Jobs

ESCAPE = "\x1b]0;x\x07\x1b[2J"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("host", "name", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8765", 200),
        ("127.0.0.1", "10.0.0.5:8765", 400),
        ("0.0.0.0", "10.0.0.5:8765", 200),
        ("0.0.0.0", "[fe80::1]:8765", 200),
        ("0.0.0.0", "evil.example", 400),
        ("LabHost", "labhost:8765", 200),
    ],
)
def test_a_service_answers_to_its_own_names_and_numbers_alone(
    tmp_path: Path, host: str, name: str, status: int
) -> None:
    with a_service(tmp_path, host=host) as running:
        client = TestClient(create_app(running.parts), base_url="http://127.0.0.1")
        assert client.get("/api/v1/version", headers={"Host": name}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1", 404),
        ("http://127.0.0.1:3000", 403),
        ("http://localhost", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ],
)
def test_only_a_page_of_this_very_service_may_change_anything(
    running: Running, origin: str, status: int
) -> None:
    client = TestClient(create_app(running.parts), base_url="http://127.0.0.1")
    headers = {"Origin": origin, **running.owner_headers}
    answer = client.post("/api/v1/studies/none/cancel", headers=headers)
    assert answer.status_code == status


def test_words_of_agents_and_people_are_shown_without_what_moves_a_cursor(running: Running) -> None:
    agent = HandDrivenAgent(running.url)
    station = {"name": "other", "kind": "ssh", "identity": None, "state": "unopened", "words": ESCAPE}
    answer = agent.http.put(f"/agents/{agent.agent_id}/stations", json={"stations": [station]})
    assert answer.is_success, answer.text
    with running.client() as client:
        client.pause_device("simulated-laptop", ESCAPE)
        client.label_device("simulated-laptop", {"room": ESCAPE})
        shown = client.device_attempts("simulated-laptop")
        told = repr((client.devices(), client.unregistered_devices(), shown))
    agent.close()
    assert "\\x1b" in told
    assert "\x1b" not in told


def test_numbers_at_other_depths_than_the_job_asks_for_are_refused_and_kept_as_a_fault(
    running: Running,
) -> None:
    agent = HandDrivenAgent(running.url)
    plan: dict[str, Any] = {"workload": {"deeper_contexts": [4096]}}
    with running.parts.database.write() as session:
        Jobs(session).create(JobDraft(agent.device_id, None, "single", "key", plan))
    job = agent.lease()
    assert job is not None
    answer = agent.report(job, a_simulated_result())
    assert (answer.status_code, answer.json()["field"]) == (422, "outcome.deeper")
    with running.client() as client:
        assert client.job_log(job["job_id"]).attempts[0].outcome == "runner_fault"
    agent.close()


def test_the_services_own_machine_is_called_local_everywhere(running: Running) -> None:
    agent = HandDrivenAgent(running.url)
    other = HandDrivenAgent(running.url, identity="other", device="local")
    with running.client() as client:
        assert {device.name for device in client.devices()} == {"simulated-laptop", "local-2"}
        assert client.pause_device("local").state == "paused"
        assert client.resume_device("local").name in {"simulated-laptop", "local-2"}
        assert client.device_attempts("local") == []
    for each in (agent, other):
        each.close()


def test_the_same_document_again_is_the_same_study(running: Running) -> None:
    HandDrivenAgent(running.url).close()
    with running.client() as client:
        first = client.submit_study(a_small_study())
        assert client.submit_study("# again\n" + a_small_study()).id == first.id
        assert len(client.studies()) == 1
