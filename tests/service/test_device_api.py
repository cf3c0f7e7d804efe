"""Devices over real HTTP: paused, quarantined, resting, not to be opened, and how studies and pages say so."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving import HandDrivenAgent, Running, a_service, a_simulated_result, a_small_study
from sqlalchemy import update
from waiting import wait_until

from service.api.schemas import MeasurementWish
from service.device_state import judge_device
from service.errors import ServiceError
from service.store.jobs import JobDraft, Jobs
from service.store.rows import AgentRow, DeviceRow, JobRow

FAULT = {"kind": "throttled", "reason": "simulated heat", "log": "hot"}
HOSTILE = '"><script>window.stolen=1</script>'


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path, with_loop=True) as running:
        yield running


@pytest.fixture
def agent(running: Running) -> Iterator[HandDrivenAgent]:
    agent = HandDrivenAgent(running.url)
    yield agent
    agent.close()


def a_job(running: Running, agent: HandDrivenAgent, key: str = "key") -> str:
    with running.parts.database.write() as session:
        return Jobs(session).create(JobDraft(agent.device_id, None, "single", key, {"simulated": True})).id


def make_due(running: Running) -> None:
    with running.parts.database.write() as session:
        session.execute(update(JobRow).values(not_before=datetime(2020, 1, 1, tzinfo=UTC)))


def tell(agent: HandDrivenAgent, *stations: dict[str, Any]) -> httpx2.Response:
    return agent.http.put(f"/agents/{agent.agent_id}/stations", json={"stations": list(stations)})


def station(
    state: str, words: str = "", identity: str | None = "agent-1-device", name: str = "laptop"
) -> Any:
    return {"name": name, "kind": "ssh", "identity": identity, "state": state, "words": words}


def examine(agent: HandDrivenAgent, passed: bool, words: str = "", **changes: Any) -> Any:
    one = {"name": "laptop", "identity": "agent-1-device", "passed": passed, "words": words, **changes}
    answer = agent.http.post("/examinations", json={"agent_identity": "agent-1", "examinations": [one]})
    assert answer.is_success, answer.text
    return answer.json()[0]


def quarantined(running: Running, agent: HandDrivenAgent) -> str:
    job_id = a_job(running, agent)
    for _ in range(3):
        make_due(running)
        job = agent.lease()
        assert job is not None
        assert agent.report(job, FAULT).is_success
    return job_id


def state_of(running: Running) -> tuple[str, str, str]:
    with running.client() as client:
        device = client.devices()[0]
    return device.state, device.reason, device.hint


def test_a_paused_device_gets_no_job_and_says_so_until_it_is_resumed(
    running: Running, agent: HandDrivenAgent
) -> None:
    a_job(running, agent)
    with running.client() as client:
        paused = client.pause_device("simulated-laptop", "lunch")
        assert (paused.state, paused.reason) == ("paused", "lunch")
        assert paused.hint == "loopfront device resume simulated-laptop"
        assert agent.lease(wait_s=0.3) is None
        assert client.resume_device(paused.id).state == "idle"
        assert agent.lease() is not None
        assert state_of(running)[:2] == ("measuring", "single measurement")


def test_a_pause_takes_the_job_back_and_the_next_heartbeat_hears_of_it(
    running: Running, agent: HandDrivenAgent
) -> None:
    job_id = a_job(running, agent)
    job = agent.lease()
    assert job is not None
    assert job["heartbeat_s"] <= 2.0
    with running.client() as client:
        client.pause_device("simulated-laptop", "lunch")
        answer = agent.http.post(f"/jobs/{job_id}/heartbeat", json={"token": job["token"]})
        assert (answer.status_code, answer.json()["code"]) == (409, "paused")
        assert "the device was paused: lunch" in answer.json()["detail"]
        log = client.job_log(job_id)
    assert (log.state, [attempt.ended_by for attempt in log.attempts]) == ("waiting", ["paused"])


def test_heartbeats_cost_the_database_a_look_and_a_write_only_now_and_then(
    running: Running, agent: HandDrivenAgent
) -> None:
    job_id = a_job(running, agent)
    job = agent.lease()
    assert job is not None

    def expiry() -> datetime | None:
        with running.parts.database.read() as session:
            return Jobs(session).get(job_id).lease_expires_at

    first = expiry()
    for _ in range(3):
        agent.post(f"/jobs/{job_id}/heartbeat", {"token": 1})
    assert expiry() == first is not None
    with running.parts.database.write() as session:
        Jobs(session).get(job_id).lease_expires_at = first - timedelta(seconds=15)
    assert agent.post(f"/jobs/{job_id}/heartbeat", {"token": 1}) == {"expires_in_s": 30.0}


def test_an_unknown_device_is_named_with_those_that_are_known(
    running: Running, agent: HandDrivenAgent
) -> None:
    with running.client() as client, pytest.raises(ServiceError) as refusal:
        client.pause_device("pixel")
    assert (refusal.value.status, refusal.value.hint) == (404, "known are simulated-laptop")


def test_labels_can_be_set_and_taken_away(running: Running, agent: HandDrivenAgent) -> None:
    with running.client() as client:
        assert client.label_device("simulated-laptop", {"room": "lab"}).labels == {"room": "lab"}
        HandDrivenAgent(running.url).close()  # registers again
        assert client.devices()[0].labels == {"room": "lab"}
        assert client.label_device("simulated-laptop", {"room": None}).labels == {}


def test_a_device_with_three_faults_in_a_row_waits_for_an_examination_that_passes(
    running: Running, agent: HandDrivenAgent
) -> None:
    job_id = quarantined(running, agent)
    state, reason, hint = state_of(running)
    assert (state, hint) == ("quarantined", "on the lab host: loopfront agent doctor")
    assert reason == "3 faults in a row, the last: throttled: simulated heat"
    assert agent.lease(wait_s=0.3) is None
    assert examine(agent, False, "it is hot") == {
        "name": "laptop",
        "device": "simulated-laptop",
        "is_lifted": False,
    }
    with running.client() as client:
        device = client.devices()[0]
        assert (device.examination, device.log_job_id) == ("failed: it is hot", job_id)
    assert agent.lease(wait_s=0.3) is None
    assert examine(agent, True)["is_lifted"]
    assert state_of(running)[0] == "idle"
    job = agent.lease()
    assert job is not None
    assert agent.report(job, a_simulated_result()).is_success


def test_a_changed_host_key_quarantines_at_once_and_is_explained(
    running: Running, agent: HandDrivenAgent
) -> None:
    assert tell(agent, station("ready")).is_success
    assert tell(agent, station("key_changed", "another machine answers", identity=None)).is_success
    assert state_of(running)[:2] == ("quarantined", "another machine answers")
    assert examine(agent, False, "another machine answers", identity=None)["device"] == "simulated-laptop"
    assert examine(agent, True)["is_lifted"]
    tell(agent, station("key_changed", "another machine answers", identity=None))
    assert state_of(running)[0] == "unopened", "the agent has not read the new key yet"
    tell(agent, station("ready"))
    assert state_of(running)[0] == "idle"


def test_an_examination_of_what_nobody_registered_is_noted_by_nobody(agent: HandDrivenAgent) -> None:
    noted = examine(agent, True, identity="stranger", name="stranger")
    assert noted == {"name": "stranger", "device": None, "is_lifted": False}
    assert examine(agent, True, identity=None, name="stranger")["device"] is None


def test_what_an_agent_cannot_open_is_listed_until_it_is_mended_or_forgotten(
    running: Running, agent: HandDrivenAgent
) -> None:
    phone = station("unopened", "unlock it and accept the dialog", identity=None, name="phone")
    tell(agent, station("resting", "allowed from 22:00"), phone)
    assert state_of(running) == ("resting", "allowed from 22:00", "")
    with running.client() as client:
        (listed,) = client.unregistered_devices()
        assert (listed.name, listed.state, listed.agent) == ("phone", "unopened", "test-host")
        assert listed.reason == "unlock it and accept the dialog"
        with pytest.raises(ServiceError) as refusal:
            client.submit_study(a_small_study().replace("device: local", "device: phone"))
        assert "phone can't be opened: unlock it" in refusal.value.detail
        with pytest.raises(ServiceError) as refusal:
            client.measure(MeasurementWish(layout="CCACCA", parameters=6_000_000, device="phone"))
        assert "phone can't be opened: unlock it" in refusal.value.detail
        tell(agent, station("ready"))
        assert client.unregistered_devices() == []
        assert state_of(running)[0] == "idle"


@pytest.mark.parametrize(
    "change",
    [
        {"words": "a" * 1001},
        {"name": "a" * 101},
        {"state": "invented"},
        {"kind": "<b>"},
        {"identity": "a" * 201},
        {"colour": "red"},
    ],
)
def test_what_an_agent_says_is_limited(agent: HandDrivenAgent, change: dict[str, str]) -> None:
    answer = tell(agent, {**station("unopened", "x"), **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")


def test_the_pages_show_every_device_and_take_what_agents_say_as_text(
    running: Running, agent: HandDrivenAgent
) -> None:
    quarantined(running, agent)
    tell(agent, station("ready"), station("unopened", HOSTILE, identity=None, name=HOSTILE))
    with httpx2.Client(base_url=running.url, headers=running.owner_headers, trust_env=False) as http:
        for path in ("/", "/devices"):
            page = http.get(path)
            assert page.status_code == 200
            assert "<script>window" not in page.text
            assert "quarantined" in page.text
            assert "3 faults in a row, the last: throttled: simulated heat" in page.text
        assert "loopfront agent doctor" in page.text
        hrefs = [part.split('"')[0] for part in page.text.split('href="')[1:]]
        (attempts,) = [href for href in hrefs if href.endswith("/attempts")]
        assert "<pre>hot" in http.get(attempts).text


def test_a_study_and_a_measurement_say_which_device_they_wait_for_and_what_to_type(
    running: Running, agent: HandDrivenAgent
) -> None:
    wish = MeasurementWish(layout="CCACCA", parameters=6_000_000, vocabulary=8192)
    with running.client() as client:
        client.submit_study(a_small_study())
        asked = client.measure(wish)
        wait_until(lambda: client.study("small").state == "calibrating")
        client.pause_device("simulated-laptop", "lunch")
        words = "waiting: simulated-laptop is paused: lunch; loopfront device resume simulated-laptop"
        assert client.study("small").progress["message"] == words
        assert client.measurement(asked.id).step == words
        client.resume_device("simulated-laptop")
        assert client.study("small").progress["message"] == ""
        for _ in range(3):
            wait_until(lambda: client.devices()[0].state == "idle")
            make_due(running)
            job = agent.lease(wait_s=20)  # the first is being built
            assert job is not None
            agent.report(job, FAULT)
        message = client.study("small").progress["message"]
        assert message.startswith("waiting: simulated-laptop is quarantined: 3 faults in a row")
        assert message.endswith("; on the lab host: loopfront agent doctor")
        assert client.study("small").state == "calibrating", "it waits, it has not failed"
        client.cancel_study("small")
        assert "waiting" not in client.study("small").progress["message"]


def test_a_device_is_away_when_nothing_is_heard_of_its_agent_however_the_clock_was_set() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    device = DeviceRow(name="laptop", pause_reason="", quarantine_reason="")
    for heard, state in ((0, "idle"), (44, "idle"), (46, "away"), (-44, "idle"), (-3600, "away")):
        agent = AgentRow(name="host", last_seen_at=now - timedelta(seconds=heard))
        assert judge_device(device, agent, None, None, now).state == state, heard
