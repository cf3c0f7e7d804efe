"""What a device's agent reports is input like any other: refused by name where it can't have been measured."""

import copy
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from serving import HandDrivenAgent, Running, a_service, a_simulated_result, as_owner

from service.device_result import read_result, require_bounded_facts
from service.errors import BadInput
from service.store.jobs import JobDraft, Jobs


def with_value(place: str, value: object) -> dict[str, Any]:
    """Give a simulated result with one value changed, such as that at ``decode.processes.0.blocks.0``."""
    outcome = copy.deepcopy(a_simulated_result())
    at: Any = outcome
    *way, last = [int(part) if part.isdecimal() else part for part in place.split(".")]
    for part in way:
        at = at[part]
    at[last] = value
    return outcome


def nested(depth: int) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for _ in range(depth):
        tree = {"deeper": tree}
    return tree


FIRST = "decode.processes.0.blocks.0.candidate_ms.0"
REFUSED = [
    (with_value(FIRST, 1e300), "decode.processes[0].blocks[0].candidate_ms[0]"),
    (with_value(FIRST, 1e-12), "decode.processes[0].blocks[0].candidate_ms[0]"),
    (with_value(FIRST, -1.0), "outcome"),
    (with_value(FIRST, "5"), "outcome"),
    (with_value(FIRST, True), "outcome"),
    (with_value("memory.peak_rss_bytes", 0), "memory.peak_rss_bytes"),
    (with_value("memory.load_bytes", -1), "memory.load_bytes"),
    (with_value("memory.peak_rss_bytes", 2**60), "memory.peak_rss_bytes"),
    (with_value("memory.peak_rss_bytes", 10**30), "64 bits"),
    (with_value("seconds", -3.0), "outcome.seconds"),
    (with_value("cosine.0", 1.5), "cosine[0]"),
    (with_value("passport", nested(50)), "deeper"),
    (with_value("passport", {"list": [0] * 600_000}), "values"),
    (with_value("passport", {"list": [0.5] * 600_000}), "values"),
    (with_value("passport", {"lists": [[0.5] * 300_000] * 2}), "values"),
    (with_value("invented", 1), "invented"),
]


@pytest.mark.parametrize(("outcome", "words"), REFUSED, ids=range(len(REFUSED)))
def test_a_result_that_cannot_have_been_measured_is_refused(outcome: Mapping[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_result(outcome)
    assert words in refused.value.line
    assert len(refused.value.line) < 1000


def test_a_usable_result_is_stored_as_it_is() -> None:
    assert read_result(a_simulated_result()) == a_simulated_result()


def test_texts_of_a_passport_are_cleaned() -> None:
    stored = read_result(with_value("passport", {"governor": "\x1b[2Jperformance\x00"}))
    assert stored["passport"] == {"governor": "\\x1b[2Jperformance\\x00"}


def test_a_tree_keeps_its_shape_and_its_numbers() -> None:
    assert require_bounded_facts({"a\x00": [1, 2.5, None, True, "b\x1b"], "seconds": -1.0}) == {
        "a\\x00": [1, 2.5, None, True, "b\\x1b"],
        "seconds": -1.0,
    }


@pytest.mark.parametrize("number", [math.nan, math.inf, 10**30])
def test_facts_hold_numbers_that_any_database_can_store(number: float) -> None:
    with pytest.raises(ValueError, match=r"facts\.clock"):
        require_bounded_facts({"clock": [number]})


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path) as running:
        yield running


@pytest.fixture
def agent(running: Running) -> Iterator[HandDrivenAgent]:
    agent = HandDrivenAgent(running.url)
    yield agent
    agent.close()


def a_leased_job(running: Running, agent: HandDrivenAgent) -> dict[str, Any]:
    with running.parts.database.write() as session:
        Jobs(session).create(JobDraft(agent.device_id, None, "single", "key", {"simulated": True}))
    job = agent.lease()
    assert job is not None
    return job


def test_a_refused_result_ends_its_attempt_with_the_reason_and_its_log(
    running: Running, agent: HandDrivenAgent
) -> None:
    job = a_leased_job(running, agent)
    refused = agent.report(job, {**with_value("seconds", -3.0), "log": "what ran"})
    assert (refused.status_code, refused.json()["field"]) == (422, "outcome.seconds")
    assert refused.headers["Content-Type"] == "application/problem+json"
    with running.client() as client:
        log = client.job_log(job["job_id"])
    (attempt,) = log.attempts
    assert log.state == "waiting"
    assert (attempt.ended_by, attempt.outcome, attempt.log) == ("result", "runner_fault", "what ran")
    assert attempt.reason.startswith("its result can't be used: outcome.seconds: -3 can't have been measured")


@pytest.mark.parametrize(
    "body",
    [
        '{"token": 1, "outcome": {"kind": "out_of_memory", "reason": "", "log": 1%s}}' % ("0" * 6000),
        '{"token": 1, "outcome": {"kind": "out_of_memory", "reason": "\\ud800", "log": 1e999}}',
        '{"token": 1, "outcome": ' + '{"a":' * 900 + "1" + "}" * 900 + "}",
        '{"token": 1, "outcome": {"kind": ["out_of_memory"]}}',
        '{"token": 1, "outcome": {"kind": {"a": 1}}}',
        '{"token": 1, "outcome": []}',
        "\x00",
    ],
    ids=range(7),
)
def test_no_body_is_a_fault_of_the_service(running: Running, agent: HandDrivenAgent, body: str) -> None:
    job = a_leased_job(running, agent)
    headers = {"Content-Type": "application/json"}
    answer = agent.http.post(f"/jobs/{job['job_id']}/result", content=body.encode(), headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["code"]


@pytest.mark.parametrize(
    "value", ["NaN", "1" + "0" * 40, '{"a":' * 50 + "1" + "}" * 50], ids=["nan", "huge", "deep"]
)
def test_facts_of_a_device_are_bounded_too(running: Running, agent: HandDrivenAgent, value: str) -> None:
    device = {"identity": "x", "name": "x", "kind": "local", "facts": {"cores": "VALUE"}}
    body = json.dumps({"name": "lab", "identity": "y", "devices": [device]}).replace('"VALUE"', value)
    answer = agent.http.post("/agents", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == "devices.0.facts"
    assert as_owner("GET", f"{running.url}/api/v1/devices").status_code == 200
