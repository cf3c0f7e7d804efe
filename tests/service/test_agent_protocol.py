"""The agent protocol over real HTTP: registration, leases, fencing, evidence, limits."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import PROTOCOL, HandDrivenAgent, Running, a_service, a_simulated_result

from service.store.jobs import JobDraft, Jobs
from service.version import VERSION


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path, lease_seconds=0.5, heartbeat_seconds=0.2) as running:
        yield running


@pytest.fixture
def agent(running: Running) -> Iterator[HandDrivenAgent]:
    agent = HandDrivenAgent(running.url)
    yield agent
    agent.close()


def a_job(running: Running, device_id: str, key: str = "key") -> str:
    with running.parts.database.write() as session:
        job = Jobs(session).create(JobDraft(device_id, None, "single", key, {"simulated": True}))
    running.parts.bell.ring()
    return job.id


def test_registering_twice_gives_the_same_ids(running: Running, agent: HandDrivenAgent) -> None:
    again = HandDrivenAgent(running.url)
    assert (again.agent_id, again.device_id) == (agent.agent_id, agent.device_id)
    again.close()


@pytest.mark.parametrize(
    ("protocol", "way_out"),
    [
        ("", f"on the agent's machine: pip install 'loopfront=={VERSION}'"),
        ("1", f"on the agent's machine: pip install 'loopfront=={VERSION}'"),
        ("999", "upgrade the service: pip install 'loopfront==9.1'"),
    ],
)
def test_another_protocol_is_refused_with_the_command_that_mends_it(
    agent: HandDrivenAgent, protocol: str, way_out: str
) -> None:
    headers = {"Loopfront-Protocol": protocol, "Loopfront-Version": "9.1"}
    response = agent.http.post("/agents", json={}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (426, "protocol-mismatch")
    assert way_out in response.json()["hint"]
    assert response.headers["Loopfront-Protocol"] == PROTOCOL["Loopfront-Protocol"]


def test_a_lease_request_without_work_ends_with_204_after_its_wait(agent: HandDrivenAgent) -> None:
    started = time.monotonic()
    assert agent.lease(wait_s=0.5) is None
    assert 0.4 < time.monotonic() - started < 3


def test_a_waiting_agent_gets_a_new_job_at_once(running: Running, agent: HandDrivenAgent) -> None:
    threading.Timer(0.3, a_job, (running, agent.device_id)).start()
    started = time.monotonic()
    job = agent.lease(wait_s=10)
    assert job is not None
    assert time.monotonic() - started < 3
    assert (job["token"], job["expires_in_s"], job["heartbeat_s"]) == (1, 0.5, 0.2)


def test_many_waiting_agents_leave_room_for_other_requests(running: Running) -> None:
    agents = [HandDrivenAgent(running.url, f"agent-{i}", f"device-{i}") for i in range(60)]
    threads = [threading.Thread(target=agent.lease, args=(3.0,)) for agent in agents]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    started = time.monotonic()
    with running.client() as client:
        client.version()
    assert time.monotonic() - started < 1.5
    for thread in threads:
        thread.join()
    for agent in agents:
        agent.close()


def test_a_result_after_expiry_without_a_newer_grant_is_stored(
    running: Running, agent: HandDrivenAgent
) -> None:
    a_job(running, agent.device_id)
    job = agent.lease()
    assert job is not None
    time.sleep(0.7)
    assert agent.report(job, a_simulated_result()).json() == {"stored": True}


def test_a_late_result_after_a_newer_grant_is_kept_as_evidence(
    running: Running, agent: HandDrivenAgent
) -> None:
    job_id = a_job(running, agent.device_id)
    late = agent.lease()
    time.sleep(0.7)
    newer = agent.lease()
    assert late is not None
    assert newer is not None
    refused = agent.report(late, a_simulated_result(2.0))
    assert (refused.status_code, refused.json()["code"]) == (409, "superseded")
    assert agent.report(newer, a_simulated_result()).status_code == 200
    with running.parts.database.read() as session:
        assert [row.code for row in Jobs(session).evidence(job_id)] == ["superseded"]


def test_the_same_result_again_is_answered_with_409_already_stored(
    running: Running, agent: HandDrivenAgent
) -> None:
    a_job(running, agent.device_id)
    job = agent.lease()
    assert job is not None
    assert agent.report(job, a_simulated_result()).status_code == 200
    again = agent.report(job, a_simulated_result())
    assert (again.status_code, again.json()["code"]) == (409, "already-stored")


def test_a_heartbeat_under_an_old_token_is_refused(running: Running, agent: HandDrivenAgent) -> None:
    a_job(running, agent.device_id)
    job = agent.lease()
    assert job is not None
    assert 0 < agent.post(f"/jobs/{job['job_id']}/heartbeat", {"token": 1})["expires_in_s"] <= 0.5
    time.sleep(0.7)
    agent.lease()
    response = agent.http.post(f"/jobs/{job['job_id']}/heartbeat", json={"token": 1})
    assert response.status_code == 409


def test_the_log_of_every_attempt_can_be_read(running: Running, agent: HandDrivenAgent) -> None:
    a_job(running, agent.device_id)
    job = agent.lease()
    assert job is not None
    agent.report(job, {"kind": "out_of_memory", "reason": "simulated", "log": "line 1\nline 2"})
    with running.client() as client:
        log = client.job_log(job["job_id"])
    assert (log.state, log.outcome) == ("done", "out_of_memory")
    assert [attempt.log for attempt in log.attempts] == ["line 1\nline 2"]


@pytest.mark.parametrize(
    "outcome",
    [{"kind": "invented"}, {"kind": "out_of_memory"}, {"kind": "measured", "seconds": 1e400}, {}],
)
def test_an_outcome_that_cannot_be_read_is_refused_by_name(
    running: Running, agent: HandDrivenAgent, outcome: dict[str, object]
) -> None:
    a_job(running, agent.device_id)
    job = agent.lease()
    assert job is not None
    content = '{"token": 1, "outcome": {"kind": "out_of_memory", "reason": "", "log": NaN}}'
    raw = agent.http.post(
        f"/jobs/{job['job_id']}/result", content=content, headers={"Content-Type": "application/json"}
    )
    assert raw.status_code == 422
    if "seconds" not in outcome:
        refused = agent.report(job, outcome)
        assert (refused.status_code, refused.json()["field"]) == (422, "outcome")


def test_a_body_over_its_limit_is_answered_with_413(running: Running, agent: HandDrivenAgent) -> None:
    body = b'{"name": "' + b"a" * 3_000_000 + b'"}'
    response = agent.http.post("/agents", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (413, "too-large")

    def in_pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    announced = agent.http.post("/agents", content=in_pieces(), headers={"Content-Type": "application/json"})
    assert announced.status_code == 413


def test_deep_json_and_foreign_host_names_are_refused(running: Running, agent: HandDrivenAgent) -> None:
    deep = b"[" * 100_000
    response = agent.http.post("/agents", content=deep, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 422}
    rebound = agent.http.get("/version", headers={"Host": "evil.example:8765"})
    assert rebound.status_code == 400


def test_blobs_come_back_by_their_digest_and_nothing_else_does(
    running: Running, agent: HandDrivenAgent
) -> None:
    digest = running.parts.blobs.put(b"a graph")
    assert agent.http.get(f"/blobs/{digest}").content == b"a graph"
    for name in ("0" * 64, "..%2f..%2floopfront.sqlite", "x"):
        assert agent.http.get(f"/blobs/{name}").status_code == 404


def test_a_damaged_blob_is_refused_for_good_with_the_file_that_is_damaged(
    running: Running, agent: HandDrivenAgent
) -> None:
    digest = running.parts.blobs.put(b"a graph")
    (file,) = running.parts.blobs.folder.rglob(digest)
    file.write_bytes(b"a gra")
    answer = agent.http.get(f"/blobs/{digest}")
    assert (answer.status_code, answer.json()["code"]) == (410, "blob-damaged")
    assert str(file) in answer.json()["detail"]


def test_another_sites_page_may_not_change_anything(running: Running, agent: HandDrivenAgent) -> None:
    foreign = agent.http.post("/studies", content=b"study: x", headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    headers = {"Origin": running.url, **running.owner_headers}
    own = agent.http.post("/studies", content=b"study: x", headers=headers)
    assert own.status_code in {415, 422}
