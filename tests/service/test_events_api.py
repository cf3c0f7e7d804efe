"""Server-sent events over real HTTP, on every database: in order, of one study or all, resumed without a gap."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving import Running, SimulatedWorker, a_service, a_small_study, as_owner, owner_of, wait_for_end
from waiting import wait_until


@pytest.fixture
def running(every_database: str, tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path, with_loop=True) as running:
        yield running


class Stream:
    """Reads a stream of events in a thread."""

    def __init__(self, url: str, last: str | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.is_open = threading.Event()
        self._client = httpx2.Client(timeout=60, trust_env=False)
        headers = {"Authorization": f"Bearer {owner_of(url)}", **({"Last-Event-ID": last} if last else {})}
        self._request = self._client.build_request("GET", url, headers=headers)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self.is_open.wait(10)

    def _read(self) -> None:
        try:
            response = self._client.send(self._request, stream=True)
            assert response.status_code == 200, response.read()
            event: dict[str, Any] = {}
            for line in response.iter_lines():
                self.is_open.set()
                if not line and event:
                    self.events.append(event)
                    event = {}
                name, colon, value = line.partition(": ")
                if colon and name in {"event", "id"}:
                    event[name] = value
                elif name == "data":
                    event["data"] = json.loads(value)
        except httpx2.HTTPError:
            return  # closed by the test

    def close(self) -> None:
        self._client.close()


@contextmanager
def a_stream(running: Running, path: str, last: str | None = None) -> Iterator[Stream]:
    stream = Stream(f"{running.url}/api/v1{path}", last)
    try:
        yield stream
    finally:
        stream.close()


def has_finished(stream: Stream) -> bool:
    return any(each.get("data", {}).get("state") == "finished" for each in stream.events)


def test_a_study_is_followed_from_its_beginning_to_its_end(running: Running) -> None:
    with running.client() as client, SimulatedWorker(running.url):
        client.submit_study(a_small_study("other", trials=2))
        client.submit_study(a_small_study(trials=3))
        with a_stream(running, "/studies/small/events", last="0-0") as stream:
            wait_until(lambda: has_finished(stream))
    states = [each["data"]["state"] for each in stream.events if each["event"] == "study"]
    assert states == ["waiting", "calibrating", "running", "finished"]
    trials = [each for each in stream.events if each["event"] == "trial"]
    ended = {each["data"]["number"] for each in trials if each["data"]["outcome"] == "measured"}
    assert ended == {1, 2, 3, 4}
    assert all(each["data"]["values"] for each in trials if each["data"]["state"] == "measured")
    places = [tuple(map(int, each["id"].split("-"))) for each in stream.events]
    assert places == sorted(places)
    assert len(places) == len(set(places))


def test_a_stream_that_was_cut_goes_on_behind_the_last_event_that_was_seen(running: Running) -> None:
    with running.client() as client, SimulatedWorker(running.url):
        client.submit_study(a_small_study(trials=3))
        assert wait_for_end(client, "small") == "finished"
        with a_stream(running, "/events", last="0-0") as whole:
            wait_until(lambda: has_finished(whole))
        cut = len(whole.events) // 2
        with a_stream(running, "/events", last=whole.events[cut - 1]["id"]) as rest:
            wait_until(lambda: has_finished(rest))
    wanted = [each["id"] for each in whole.events[cut:]]
    assert [each["id"] for each in rest.events][: len(wanted)] == wanted


def test_who_comes_without_a_last_event_hears_what_happens_from_now_on(running: Running) -> None:
    with running.client() as client, SimulatedWorker(running.url):
        client.submit_study(a_small_study("before", trials=2))
        assert wait_for_end(client, "before") == "finished"
        with a_stream(running, "/events") as stream:
            client.submit_study(a_small_study("after", trials=2).replace("seed: 5", "seed: 6"))
            wait_until(lambda: has_finished(stream))
    assert {each["data"]["study"] for each in stream.events if each["event"] == "study"} == {"after"}
    assert {each["event"] for each in stream.events} >= {"study", "trial", "job"}


@pytest.mark.parametrize("last", ["x", "1", "-1-2", "1-2-3", "9" * 60 + "-1"])
def test_an_event_that_is_none_is_refused_by_name(running: Running, last: str) -> None:
    answer = as_owner("GET", f"{running.url}/api/v1/events", headers={"Last-Event-ID": last})
    assert answer.status_code == 422
    assert answer.json()["field"] == "Last-Event-ID"


def test_the_events_of_an_unknown_study_are_not_found(running: Running) -> None:
    answer = as_owner("GET", f"{running.url}/api/v1/studies/none/events")
    assert answer.status_code == 404


def test_metrics_count_answers_by_route_and_jobs_by_device(running: Running) -> None:
    with running.client() as client, SimulatedWorker(running.url):
        client.submit_study(a_small_study(trials=2))
        assert wait_for_end(client, "small") == "finished"
        client.study("small")
    text = as_owner("GET", f"{running.url}/api/v1/metrics").text
    assert 'loopfront_studies{state="finished"} 1.0' in text
    assert 'loopfront_answers_total{method="GET",route="/studies/{name}",status="200"}' in text
    assert "small" not in text, "names of studies make no series"


def test_a_service_that_can_take_work_is_ready(running: Running) -> None:
    answer = as_owner("GET", f"{running.url}/api/v1/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "troubles": []})
