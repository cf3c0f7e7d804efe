"""Requests that are made at the same moment, and requests that no program of ours makes: both are answered in words."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from serving import HandDrivenAgent, Running, a_service, a_small_study, agent_headers

from service.store.studies import Studies
from service.store.trials import Candidates, TrialDraft, Trials

MANY = 8


@pytest.fixture
def running(every_database: str, tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path) as running:
        yield running


def at_once(running: Running, ask: Callable[[httpx2.Client, int], httpx2.Response]) -> list[int]:
    """Make a request from many threads at once; return the statuses."""
    statuses: list[int] = []
    start = threading.Barrier(MANY)

    def work(number: int) -> None:
        headers = running.owner_headers
        with httpx2.Client(
            base_url=f"{running.url}/api/v1", headers=headers, timeout=60, trust_env=False
        ) as http:
            start.wait()
            statuses.append(ask(http, number).status_code)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(statuses)


def test_one_idempotency_key_makes_one_study(running: Running) -> None:
    def submit(http: httpx2.Client, _: int) -> httpx2.Response:
        return http.post("/studies", content=a_small_study().encode(), headers={"Idempotency-Key": "one"})

    assert at_once(running, submit) == [200] * (MANY - 1) + [201]


def test_a_quality_value_is_posted_by_many(running: Running) -> None:
    with running.client() as client:
        study = client.submit_study(a_small_study("small"))
    with running.parts.database.write() as session:
        Candidates(session).keep("digest", "C", {})
        Trials(session).add(
            Studies(session).find(study.id).id, TrialDraft("trial", "", "digest", {}, "waiting")
        )

    def post(http: httpx2.Client, number: int) -> httpx2.Response:
        given = {"direction": "maximize", "value": number, "source": "a test"}
        return http.put("/studies/small/trials/1/quality/mmlu", json=given)

    statuses = at_once(running, post)
    assert statuses == [200] * MANY


def test_an_agent_that_registers_many_times_at_once_is_one(running: Running) -> None:
    def register(http: httpx2.Client, _: int) -> httpx2.Response:
        device = {"identity": "d", "name": "laptop", "kind": "local"}
        body = {"identity": "a", "name": "a", "devices": [device]}
        return http.post("/agents", json=body, headers=agent_headers(running.url))

    assert at_once(running, register) == [200] * MANY
    with running.client() as client:
        assert len(client.agents()) == len(client.devices()) == 1


def test_a_paused_study_can_be_cancelled_and_a_clone_is_made_once(running: Running) -> None:
    with running.client() as client:
        client.submit_study(a_small_study("Pocket"))
        client.pause_study("Pocket")
        assert client.cancel_study("Pocket").state == "cancelled"
        assert client.pause_study("Pocket").state == "cancelled", "what has ended is not paused"
        client.clone_study("Pocket", "again", {})
        headers = running.owner_headers
        body = {"study": "again", "changes": {}}
        twice = httpx2.post(f"{running.url}/api/v1/studies/Pocket/clone", json=body, headers=headers)
        assert twice.json()["code"] == "name-taken"
        found = httpx2.get(f"{running.url}/api/v1/studies?text=pocket", headers=headers).json()
        assert [each["name"] for each in found["items"]] == ["Pocket"]


def test_what_cannot_be_stored_or_looked_up_is_the_askers_fault(running: Running) -> None:
    agent = HandDrivenAgent(running.url)
    early = base64.urlsafe_b64encode(json.dumps(["0001-01-01T00:00:00+23:00", "x"]).encode()).decode()
    with httpx2.Client(
        base_url=f"{running.url}/api/v1", headers=running.owner_headers, trust_env=False, timeout=30
    ) as http:
        answers = [
            http.get("/studies/a%00b"),
            http.get("/studies", params={"cursor": early}),
            http.get("/events", headers={"Last-Event-ID": "9" * 30 + "-1"}),
            http.post("/devices/simulated-laptop/quarantine", json={"reason": "a\x00b"}),
            http.post("/webhooks", json={"url": "https://a..com/", "kinds": ["study.finished"]}),
            http.post("/webhooks", json={"url": f"https://{'a' * 64}.com/", "kinds": ["study.finished"]}),
        ]
        wish = {"device_ids": ["a\x00b"], "wait_s": 0}
        answers.append(
            http.post(f"/agents/{agent.agent_id}/lease", json=wish, headers=agent_headers(running.url))
        )
    agent.close()
    assert all(answer.status_code < 500 for answer in answers), [answer.text[:200] for answer in answers]
    assert all(answer.status_code >= 400 for answer in answers[1:3])
