"""Studies over real HTTP, on every database: listed by pages, paused, extended, cloned, deleted, forecast."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from serving import (
    HandDrivenAgent,
    Running,
    SimulatedWorker,
    a_service,
    a_small_study,
    as_owner,
    wait_for_end,
)
from waiting import wait_until

from service.api.schemas import MeasurementWish
from service.client import Client
from service.errors import ServiceError


@pytest.fixture
def running(every_database: str, tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path, with_loop=True) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with running.client() as client:
        yield client


def get(running: Running, path: str) -> httpx2.Response:
    return as_owner("GET", f"{running.url}/api/v1{path}")


def test_studies_are_listed_newest_first_page_by_page_and_by_state_and_name(
    running: Running, client: Client
) -> None:
    for number in range(5):
        client.submit_study(a_small_study(f"study-{number}"))
    client.cancel_study("study-1")
    first = get(running, "/studies?limit=2").json()
    second = get(running, f"/studies?limit=2&cursor={first['next_cursor']}").json()
    third = get(running, f"/studies?limit=2&cursor={second['next_cursor']}").json()
    names = [each["name"] for page in (first, second, third) for each in page["items"]]
    assert names == [f"study-{number}" for number in (4, 3, 2, 1, 0)]
    assert third["next_cursor"] is None
    assert [study.name for study in client.studies(states=["cancelled"])] == ["study-1"]
    assert [study.name for study in client.studies(text="dy-3")] == ["study-3"]
    assert client.studies(text="%") == []


@pytest.mark.parametrize("cursor", ["x", "%00", "W10", "WzEsMl0", "eyJhIjoxfQ", "é"])
def test_a_cursor_that_is_none_is_refused_by_name(running: Running, client: Client, cursor: str) -> None:
    client.submit_study(a_small_study())
    for path in ("/studies", "/studies/small/trials"):
        answer = get(running, f"{path}?cursor={cursor}")
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"] == "cursor"


def test_a_paused_study_rests_and_goes_on_without_measuring_anything_twice(client: Client) -> None:
    with SimulatedWorker(client.url, pause_s=0.2) as worker:
        client.submit_study(a_small_study(trials=6))
        wait_until(lambda: len(worker.served) >= 3)
        assert client.pause_study("small").state == "paused"
        time.sleep(0.6)
        served = len(worker.served)
        time.sleep(0.6)
        assert len(worker.served) == served, "nothing is measured for a paused study"
        assert client.resume_study("small").state in {"running", "calibrating"}
        assert wait_for_end(client, "small") == "finished"
    assert len(worker.served) == len(set(worker.served))
    assert {trial.state for trial in client.trials("small")} == {"measured"}


def test_a_finished_study_goes_on_when_it_is_extended(client: Client) -> None:
    with SimulatedWorker(client.url):
        client.submit_study(a_small_study(trials=3))
        assert wait_for_end(client, "small") == "finished"
        assert client.extend_study("small", trials=2).state == "running"
        assert wait_for_end(client, "small") == "finished"
    summary = client.studies()[0]
    assert (summary.trials_wanted, summary.trials_done, summary.trials_failed) == (5, 5, 0)
    assert client.study("small").progress["requested_trials"] == 5


def test_a_study_ends_when_its_device_minutes_are_used_up(client: Client) -> None:
    with SimulatedWorker(client.url, pause_s=0.3):
        client.submit_study(a_small_study(trials=50) + "device_minutes: 0.02\n")
        assert wait_for_end(client, "small") == "finished"
        study = client.study("small")
        assert "0.02 device-minutes are used up" in study.detail
        assert study.device_minutes >= 0.02
        done = len(client.trials("small"))
        assert done < 20
        client.extend_study("small", device_minutes=0.5)
        wait_until(lambda: len(client.trials("small")) > done)


def test_what_extends_nothing_is_refused(client: Client) -> None:
    client.submit_study(a_small_study())
    with pytest.raises(ServiceError, match="nothing to add"):
        client.extend_study("small")
    with pytest.raises(ServiceError, match="no limit of device-minutes"):
        client.extend_study("small", device_minutes=5)
    client.cancel_study("small")
    with pytest.raises(ServiceError, match="is cancelled") as refusal:
        client.extend_study("small", trials=5)
    assert "resume it first" in refusal.value.hint


def test_a_clone_is_like_its_study_but_for_the_changes(client: Client) -> None:
    client.submit_study(a_small_study())
    clone = client.clone_study(
        "small", "larger", {"seed": 9, "space": {"depth": [5, 8]}, "constraints": None}
    )
    assert clone.name == "larger"
    again = client.clone_study("larger", "third", {})
    assert again.document_digest != clone.document_digest, "the name is a part of the document"
    with pytest.raises(ServiceError) as refusal:
        client.clone_study("small", "broken", {"space": {"depth": [8, 5]}})
    assert refusal.value.field == "space.depth"
    with pytest.raises(ServiceError, match="already"):
        client.clone_study("small", "larger", {})
    assert {study.name for study in client.studies()} == {"small", "larger", "third"}


def test_a_study_is_deleted_only_when_it_has_stopped_and_its_name_was_repeated(client: Client) -> None:
    with SimulatedWorker(client.url) as worker:
        client.submit_study(a_small_study(trials=3))
        with pytest.raises(ServiceError) as refusal:
            client.delete_study("small", confirm="")
        assert refusal.value.code == "not-confirmed"
        with pytest.raises(ServiceError) as refusal:
            client.delete_study("small", confirm="small")
        assert "stop it first" in refusal.value.hint
        assert wait_for_end(client, "small") == "finished"
        assert client.delete_study("small", confirm="small").trials == 3
        assert client.studies() == []
        served = len(worker.served)
        client.submit_study(a_small_study(trials=3))
        assert wait_for_end(client, "small") == "finished"
        assert len(worker.served) == served, "what was measured answers the next study too"


def test_priority_can_be_given_and_changed(running: Running, client: Client) -> None:
    answer = as_owner("POST", f"{running.url}/api/v1/studies?priority=3", content=a_small_study().encode())
    assert answer.json()["priority"] == 3
    assert client.set_priority("small", -2).priority == -2


def test_validating_says_how_large_the_space_is_and_how_long_it_would_take(client: Client) -> None:
    before = client.validate_study(a_small_study(trials=20))
    assert before.space.widths == sorted(before.space.widths)
    assert before.space.architectures_at_most > 20
    assert abs(before.example.parameters - 6e6) <= 0.02 * 6e6
    assert "usually take" in before.forecast.targets[0].based_on
    assert before.forecast.device_minutes_low < before.forecast.device_minutes_high
    with SimulatedWorker(client.url, pause_s=0.1):
        client.submit_study(a_small_study("measured", trials=5))
        assert wait_for_end(client, "measured") == "finished"
        after = client.validate_study(a_small_study(trials=20)).forecast
    assert "measured there" in after.targets[0].based_on
    assert after.ends_at_earliest < after.ends_at_latest
    assert after.device_minutes_high < before.forecast.device_minutes_high
    assert len(client.studies()) == 1, "nothing is created"


def test_single_measurements_and_studies_are_led_side_by_side(running: Running, client: Client) -> None:
    with SimulatedWorker(client.url):
        client.submit_study(a_small_study(trials=3))
        wish = MeasurementWish(layout="CACA", parameters=6_000_000, vocabulary=8192)
        measurement = client.measure(wish)
        wait_until(lambda: client.measurement(measurement.id).state not in {"waiting", "running"})
        ended = client.measurement(measurement.id)
        assert ended.state == "done", ended
        assert wait_for_end(client, "small") == "finished"


def test_an_agents_device_is_read_by_name_with_the_history_of_its_sentinel(
    running: Running, client: Client
) -> None:
    with SimulatedWorker(client.url) as worker:
        client.submit_study(a_small_study(trials=3))
        assert wait_for_end(client, "small") == "finished"
        name = client.devices()[0].name
        levels = client.sentinels(name)
        assert len(levels) == len(worker.served)
        assert [level.decode_ms for level in levels] == [5.0] * len(levels)
        assert sum(level.calibration_id is not None for level in levels) == 1
        assert client.agents()[0].devices == [name]
        assert client.device(name).state in {"idle", "measuring"}
        assert client.quarantine_device(name, "smells burnt").state == "quarantined"


def test_an_agent_driven_by_hand_registers_twice_at_once_without_a_fault(running: Running) -> None:
    agents = [HandDrivenAgent(running.url, identity=f"agent-{number}") for number in range(3)]
    assert len({agent.agent_id for agent in agents}) == 3
    for agent in agents:
        agent.close()
