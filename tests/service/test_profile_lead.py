"""A device's profile, led over a simulated device that follows a known law: all of it, or what became of it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import port_of, up
from profiling import BANDWIDTH, COSTS_MS, SCOPE, WISH, LawfulWorker, a_bandwidth, a_tiny_shape
from serving import HandDrivenAgent, Running, a_service, a_simulated_result, an_owners_client
from waiting import wait_until

from reports.encoding import profile_from_dict
from reports.profile_rows import ProfileReport
from service.api.schemas import ProfileOut
from service.client import Client
from service.errors import ServiceError
from service.profile_lead import begin_profile
from service.profile_scope import ProfileScope
from service.store.agents import Devices
from service.store.jobs import Jobs
from service.store.profiles import Profiles

DEVICE = "simulated-laptop"
MEASUREMENTS = 1 + 2 * 2
"""Of the wish: the bandwidth, and two mixers at few copies and many."""
CANDIDATE_FAULT = {"kind": "out_of_memory", "reason": "simulated: the device is full", "log": ""}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path, with_loop=True) as service:
        yield service


def ended(client: Client, profile_id: str, timeout_s: float = 120.0) -> ProfileOut:
    deadline_s = time.monotonic() + timeout_s
    while (found := client.profile(profile_id)).state == "running":
        assert time.monotonic() < deadline_s, found.step
        time.sleep(0.1)
    return found


def report_of(found: ProfileOut) -> ProfileReport:
    return profile_from_dict(found.report)


def jobs_done(running: Running) -> list[tuple[str, str, str]]:
    """Purpose, outcome and key of every job, in their order."""
    from sqlalchemy import select

    from service.store.rows import JobRow

    with running.parts.database.read() as session:
        rows = session.scalars(select(JobRow).order_by(JobRow.created_at)).all()
        return [(row.purpose, row.outcome, row.cache_key) for row in rows]


def test_a_profile_gives_back_the_law_that_its_device_follows(running: Running) -> None:
    with running.client() as client, LawfulWorker(running.url) as worker:
        with running.parts.database.write() as session:
            device = Devices(session).get(worker.agent.device_id)
            profile = begin_profile(session, device, SCOPE, again=False, shapes={"tiny": a_tiny_shape()})
        found = ended(client, profile.id)
        assert found.state == "done", found.detail
        report = report_of(found)
        for row in report.mixers:
            expected = COSTS_MS[row.code]
            assert [cost.milliseconds.value for cost in row.costs if cost.milliseconds] == pytest.approx(
                expected
            )
            ratios = [cost.ratio.value for cost in row.costs if cost.ratio]
            assert ratios == pytest.approx(
                [one / base for one, base in zip(expected, COSTS_MS["C"], strict=True)]
            )
            assert (row.few_copies, row.many_copies) == (2, 6)
        assert [round(row.best) for row in report.bandwidth] == [BANDWIDTH, 2 * BANDWIDTH]
        (shape,) = report.shapes
        assert shape.decode_per_second is not None
        assert shape.prefill_per_second is not None
        assert shape.bandwidth_share is not None
        assert shape.decode_per_second.value == pytest.approx(1e3 / 6.0)
        assert shape.prefill_per_second.value == pytest.approx(32 * 1e3 / 18.0)
        assert shape.bandwidth_share.value == pytest.approx(shape.bytes_per_token / 6e-3 / BANDWIDTH)
        assert len(worker.jobs) == 1 + 1 + 2 * 5 + 1, "bandwidth, one calibration, five mixers, a shape"


def test_a_finished_profile_is_shown_at_once_and_measured_anew_only_when_asked(running: Running) -> None:
    with running.client() as client, LawfulWorker(running.url) as worker:
        first = ended(client, client.begin_profile(DEVICE, WISH).id)
        measured = len(worker.jobs)
        assert client.begin_profile(DEVICE, WISH).id == first.id
        assert client.device_profile(DEVICE).id == first.id
        again = client.begin_profile(DEVICE, WISH.model_copy(update={"again": True}))
        assert again.id != first.id
        assert client.begin_profile(DEVICE, WISH).id == again.id, "it joins the one under way"
        assert ended(client, again.id).state == "done"
        assert len(worker.jobs) == 2 * measured - 1, "all but the calibration"
        assert not any(entry.reused for entry in report_of(client.profile(again.id)).entries)
        HandDrivenAgent(running.url, runner="another").close()
        assert client.begin_profile(DEVICE, WISH).id != again.id, "another runner is another profile"


def test_what_does_not_fit_is_shown_as_what_it_is_and_the_rest_goes_on(running: Running) -> None:
    failures = {"A6": CANDIDATE_FAULT, "bandwidth": {"kind": "timed_out", "reason": "simulated", "log": ""}}
    with running.client() as client, LawfulWorker(running.url, failures):
        found = ended(client, client.begin_profile(DEVICE, WISH).id)
    assert found.state == "done"
    report = report_of(found)
    attention = next(row for row in report.mixers if row.code == "A")
    assert {(cost.outcome, cost.detail) for cost in attention.costs} == {
        ("out_of_memory", "simulated: the device is full")
    }
    assert all(cost.ratio is None for cost in attention.costs)
    assert sum(cost.ratio is not None for row in report.mixers for cost in row.costs) == 4
    failed = [entry for entry in report.entries if entry.state == "failed"]
    assert [(entry.label, entry.outcome) for entry in failed] == [
        ("memory bandwidth", "timed_out"),
        ("grouped query attention × 6", "out_of_memory"),
    ]
    assert report.bandwidth == ()
    assert all(cost.bandwidth_share is None for row in report.mixers for cost in row.costs), (
        "of nothing known"
    )


def test_three_faults_of_the_device_in_a_row_stop_it_and_the_next_run_goes_on(running: Running) -> None:
    agent = HandDrivenAgent(running.url)
    with running.client() as client:
        begun = client.begin_profile(DEVICE, WISH)
        with running.parts.database.write() as session:
            for entry in Profiles(session).entries(begun.id)[:3]:
                Profiles(session).end_entry(entry.id, "device_lost", "simulated: gone", None)
        running.parts.bell.ring()
        found = ended(client, begun.id)
        assert found.state == "failed"
        assert "the device can't be used: device_lost: simulated: gone" in found.detail
        assert found.entries_done == 3, "what lies behind was not begun"
        assert client.begin_profile(DEVICE, WISH).id != found.id
    agent.close()


def test_one_or_two_faults_of_the_device_do_not_stop_it(running: Running) -> None:
    with running.client() as client:
        agent = HandDrivenAgent(running.url)
        begun = client.begin_profile(DEVICE, WISH)
        with running.parts.database.write() as session:
            for entry in Profiles(session).entries(begun.id)[1:3]:
                Profiles(session).end_entry(entry.id, "not_ready", "simulated: full", None)
        agent.close()
        with LawfulWorker(running.url):
            found = ended(client, begun.id)
            assert found.state == "done"
            first = report_of(found).entries[1]
            assert (first.state, first.outcome, first.detail) == ("failed", "not_ready", "simulated: full")
            second = client.begin_profile(DEVICE, WISH)
            assert second.id != found.id, "what the device lost is asked for again"
            done = ended(client, second.id)
            assert [entry.reused for entry in report_of(done).entries] == [True, False, False, True, True]
            assert client.begin_profile(DEVICE, WISH).id == second.id


def test_a_device_whose_sentinel_fails_is_not_profiled_further(running: Running) -> None:
    refused = {"kind": "wrong_output", "reason": "simulated: other logits", "log": ""}
    with running.client() as client, LawfulWorker(running.url, {"calibration": refused}):
        found = ended(client, client.begin_profile(DEVICE, WISH).id)
    report = report_of(found)
    assert {entry.outcome for entry in report.entries[1:]} == {"not_calibrated"}
    assert found.state == "done"
    assert "other logits" in report.entries[1].detail


def test_a_profile_that_was_cancelled_gives_up_what_waits_and_keeps_what_is_there(running: Running) -> None:
    with running.client() as client:
        with LawfulWorker(running.url, pause_s=0.2) as worker:
            begun = client.begin_profile(DEVICE, WISH)
            wait_until(lambda: client.profile(begun.id).entries_done >= 3)
        cancelled = client.cancel_profile(begun.id)
        assert (cancelled.state, cancelled.detail) == ("cancelled", "cancelled by a user")
        with running.parts.database.read() as session:
            jobs = [
                entry.request_id for entry in Profiles(session).entries(begun.id) if entry.state == "running"
            ]
            assert len(jobs) <= 1
        with LawfulWorker(running.url) as worker:
            done = ended(client, client.begin_profile(DEVICE, WISH).id)
            assert done.state == "done"
            assert len(worker.jobs) <= MEASUREMENTS - 3 + 1


def test_the_bandwidth_job_of_a_cancelled_profile_is_taken_off_the_list(running: Running) -> None:
    agent = HandDrivenAgent(running.url)
    with running.client() as client:
        begun = client.begin_profile(DEVICE, WISH)
        wait_until(lambda: len(jobs_done(running)) == 1)
        client.cancel_profile(begun.id)
        assert agent.lease(wait_s=0.2) is None
    agent.close()


def test_numbers_of_another_kind_than_the_job_asked_for_are_refused(running: Running) -> None:
    agent = HandDrivenAgent(running.url)
    with running.client() as client:
        begun = client.begin_profile(DEVICE, WISH)
        job = agent.lease()
        assert job is not None
        assert job["plan"]["kind"] == "bandwidth"
        refused = agent.report(job, a_simulated_result())
        assert refused.status_code == 422
        assert "'bandwidth_measured'" in refused.json()["detail"]
        log = client.job_log(job["job_id"])
        assert (log.state, log.attempts[0].outcome) == ("waiting", "runner_fault"), "it is tried again"
        assert client.profile(begun.id).entries_done == 0
    agent.close()


def test_a_bandwidth_is_no_answer_to_a_candidates_job(running: Running) -> None:
    agent = HandDrivenAgent(running.url)
    with running.client() as client:
        client.begin_profile(DEVICE, WISH)
        job = agent.lease()
        assert job is not None
        assert agent.report(job, a_bandwidth(job["plan"])).is_success
        job = agent.lease(wait_s=15.0)
        assert job is not None
        assert agent.report(job, a_bandwidth({"buffer_bytes": 1 << 20, "threads": 1})).status_code == 422
        assert client.job_log(job["job_id"]).attempts[0].outcome == "runner_fault"
    agent.close()


def test_killed_with_9_in_the_middle_a_profile_goes_on_and_loses_no_measurement(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with up(folder) as process:
        port = port_of(folder)
        client = an_owners_client(f"http://127.0.0.1:{port}")
        with LawfulWorker(client.url, pause_s=0.1) as worker:
            begun = client.begin_profile(DEVICE, WISH)
            while len(worker.jobs) < 4:
                time.sleep(0.05)
            process.kill()
            process.wait()
            with up(folder, port):
                found = ended(client, begun.id)
                logs = [client.job_log(job_id) for job_id in set(worker.jobs)]
        client.close()
    assert found.state == "done", found.detail
    assert all(cost.ratio for row in report_of(found).mixers for cost in row.costs)
    assert len(set(worker.jobs)) == MEASUREMENTS + 1, "each was ordered once"
    assert len(worker.jobs) <= MEASUREMENTS + 2, "at most what was under way was measured again"
    assert {log.state for log in logs} == {"done"}


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"shapes": ["lfm9"]}, "shapes", "known are lfm2-350m"),
        ({"mixers": ["magic"]}, "mixers", "known are short_conv"),
        ({"contexts": [512, 512]}, "contexts", "from the shortest to the longest"),
        ({"shapes": ["gemma-3-270m"]}, "shapes", "raise prompt_tokens or context_tokens"),
        ({"threads": 99}, "workload.threads", "2 cores"),
    ],
)
def test_a_wish_with_a_mistake_begins_nothing(
    tmp_path: Path, changes: dict[str, Any], field: str, words: str
) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        HandDrivenAgent(running.url, cores=2).close()
        with pytest.raises(ServiceError) as refused:
            client.begin_profile(DEVICE, WISH.model_copy(update=changes))
        assert refused.value.field == field
        assert words in refused.value.line
        with pytest.raises(ServiceError, match="has no profile yet") as missing:
            client.device_profile(DEVICE)
        assert "loopfront device profile simulated-laptop" in missing.value.hint
        with pytest.raises(ServiceError, match="no device answers to 'nobody'"):
            client.device_profile("nobody")


def test_a_profile_may_be_of_the_memory_alone(running: Running) -> None:
    scope = ProfileScope(mixers=(), shapes=())
    with running.client() as client, LawfulWorker(running.url) as worker:
        with running.parts.database.write() as session:
            device = Devices(session).get(worker.agent.device_id)
            profile = begin_profile(session, device, scope, again=False)
        found = ended(client, profile.id)
    assert found.state == "done"
    assert report_of(found).mixers == ()
    with running.parts.database.read() as session:
        assert Jobs(session).get(worker.jobs[0]).purpose == "bandwidth"


def test_a_profile_says_what_keeps_it_waiting(running: Running) -> None:
    agent = HandDrivenAgent(running.url)
    with running.client() as client:
        begun = client.begin_profile(DEVICE, WISH)
        wait_until(lambda: client.profile(begun.id).step == "memory bandwidth: measuring")
        client.pause_device(DEVICE, "on a flight")
        assert "simulated-laptop is paused: on a flight" in client.profile(begun.id).step
        client.resume_device(DEVICE)
        job = agent.lease(wait_s=10.0)
        assert job is not None
        assert agent.report(job, a_bandwidth(job["plan"])).is_success
        wait_until(lambda: "short conv × 2: calibrating" in client.profile(begun.id).step)
    agent.close()
