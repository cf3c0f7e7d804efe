"""Every attempt at measuring keeps its log, and page, client and command line show it."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import loopfront, one_line
from serving import TOKENS, HandDrivenAgent, Running, a_service, a_simulated_result, a_small_study, as_owner
from waiting import wait_until

from devices.agent import AgentSettings, run_agent
from devices.agent_token import AgentToken
from devices.plan import MeasurementPlan, Protocol, Workload, to_dict
from devices.readiness import Thresholds
from service.api.schemas import MeasurementWish
from service.store.jobs import JobDraft, Jobs
from tests.devices.tiny_models import tiny_model

HOSTILE = "\x1b[2Jgone\x00\r\n</pre><script>window.stolen=1</script>\u202eturned\n"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path / "data", with_loop=True, lease_seconds=0.5, heartbeat_seconds=0.2) as running:
        yield running


@pytest.fixture
def agent(running: Running) -> Iterator[HandDrivenAgent]:
    agent = HandDrivenAgent(running.url)
    yield agent
    agent.close()


def leased(agent: HandDrivenAgent) -> Mapping[str, Any]:
    for _ in range(4):  # the sentinel's graph is built at first
        job = agent.lease(wait_s=20)
        if job is not None:
            return job
    raise AssertionError("no job came")


def a_trial_under_way(running: Running, agent: HandDrivenAgent) -> Mapping[str, Any]:
    """Submit a study, calibrate its device, and lease its first trial's job."""
    with running.client() as client:
        client.submit_study(a_small_study())
    assert agent.report(leased(agent), a_simulated_result()).is_success
    return leased(agent)


def expire() -> None:
    time.sleep(0.7)


def page(running: Running, path: str) -> str:
    return as_owner("GET", running.url + path).raise_for_status().text


def test_a_trial_shows_what_became_of_every_lease(running: Running, agent: HandDrivenAgent) -> None:
    first = a_trial_under_way(running, agent)
    expire()
    second = leased(agent)
    late = agent.report(first, {"kind": "device_lost", "reason": "the link was cut", "log": "late log"})
    assert late.status_code == 409
    agent.post(f"/jobs/{second['job_id']}/release", {"token": second["token"], "reason": "a pause"})
    agent.report(leased(agent), {"kind": "out_of_memory", "reason": "too much", "log": "line 1\nline 2"})
    with running.client() as client:
        expired, released, failed = client.trial_attempts("small", 1)
    assert (expired.ended_by, expired.outcome, expired.late_outcome) == ("expired", "", "device_lost")
    assert (expired.reason, expired.log) == (
        "the lease expired without a report; the link was cut",
        "late log",
    )
    assert (released.ended_by, released.reason, released.log) == ("released", "a pause", "")
    assert (failed.ended_by, failed.outcome, failed.log) == ("result", "out_of_memory", "line 1\nline 2")
    assert (failed.device, failed.agent, failed.target) == ("simulated-laptop", "test-host", "laptop")
    assert (failed.purpose, failed.study) == ("trial", "small")
    shown = page(running, "/studies/small/trials/1")
    for text in ("no report came, then too late: device_lost", "given back", "a pause", "line 1\nline 2"):
        assert text in shown


def test_a_trial_that_was_put_back_keeps_the_attempts_before(
    running: Running, agent: HandDrivenAgent
) -> None:
    before = a_trial_under_way(running, agent)
    with running.client() as client:
        client.cancel_study("small")
        agent.post(f"/jobs/{before['job_id']}/release", {"token": before["token"], "reason": "stopped"})
        assert agent.lease(wait_s=0.5) is None
        client.resume_study("small")
        after = leased(agent)
        assert after["job_id"] != before["job_id"]
        assert agent.report(after, a_simulated_result()).is_success
        attempts = client.trial_attempts("small", 1)
    assert [(each.job_id, each.ended_by) for each in attempts] == [
        (before["job_id"], "released"),
        (after["job_id"], "result"),
    ]


def test_the_command_line_shows_all_attempts_or_one(running: Running, agent: HandDrivenAgent) -> None:
    job = a_trial_under_way(running, agent)
    agent.post(f"/jobs/{job['job_id']}/release", {"token": job["token"], "reason": "a pause"})
    agent.report(leased(agent), {"kind": "unsupported", "reason": "no such node", "log": "line 1\nline 2"})
    both = loopfront("trial", "log", "small/1", "--url", running.url)
    assert both.returncode == 0, both.stderr
    assert both.stdout.startswith("1. given back")
    assert "\n2. unsupported" in both.stdout
    assert "    | line 1\n    | line 2\n" in both.stdout
    one = loopfront("trial", "log", "small/1", "--attempt", "2", "--url", running.url)
    assert one.stdout.startswith("2. unsupported")
    for arguments, place in (
        (("small/1", "--attempt", "3"), "--attempt: there is no attempt 3"),
        (("small/99",), "number: this study has no trial 99"),
        (("small",), "TRIAL: 'small' can't be used"),
        (("/1",), "TRIAL: '/1' can't be used"),
    ):
        done = loopfront("trial", "log", *arguments, "--url", running.url)
        assert done.returncode == 2
        assert place in one_line(done.stderr)


def test_what_a_device_sends_is_shown_as_harmless_text(running: Running, agent: HandDrivenAgent) -> None:
    job = a_trial_under_way(running, agent)
    flood = {"kind": "out_of_memory", "reason": HOSTILE, "log": HOSTILE + "x" * 300_000 + "the end"}
    assert agent.report(job, flood).is_success
    with running.client() as client:
        (attempt,) = client.trial_attempts("small", 1)
    assert "\n" not in attempt.reason
    assert attempt.reason.startswith("\\x1b[2Jgone\\x00")
    assert "\\u202eturned" in attempt.log
    assert len(attempt.log) <= 40_000
    assert "characters left out" in attempt.log
    assert attempt.log.endswith("the end")
    for path in ("/studies/small/trials/1", "/studies/small", "/devices/simulated-laptop/attempts"):
        shown = page(running, path)
        assert "<script>window" not in shown
        assert not {"\x1b", "\x00", "\u202e"} & set(shown)
    told = loopfront("trial", "log", "small/1", "--url", running.url).stdout
    assert not {"\x1b", "\x00", "\u202e"} & set(told)


def test_a_single_measurement_shows_its_calibration_that_failed(
    running: Running, agent: HandDrivenAgent
) -> None:
    size = {"parameters": 6_000_000, "vocabulary": 8192}
    with running.client() as client:
        asked = client.measure(MeasurementWish.model_validate({"layout": "CCA", **size}))
        agent.report(
            leased(agent), {"kind": "unsupported", "reason": "no such node", "log": "of calibration"}
        )
        wait_until(lambda: client.measurement(asked.id).state == "failed")
        (attempt,) = client.measurement_attempts(asked.id)
    assert (attempt.purpose, attempt.study, attempt.log) == ("calibration", "", "of calibration")
    assert "of calibration" in loopfront("arch", "log", asked.id, "--url", running.url).stdout


def test_a_device_that_is_unknown_has_no_attempts(running: Running) -> None:
    done = loopfront("device", "log", "nowhere", "--url", running.url)
    assert done.returncode == 2
    assert "there is no device 'nowhere'" in one_line(done.stderr)
    assert as_owner("GET", f"{running.url}/devices/nowhere/attempts").status_code == 404


@contextmanager
def a_real_agent(url: str, folder: Path) -> Iterator[None]:
    lenient = Thresholds(200.0, -1000.0, 0, spare_bytes=0, patience_s=0.0)
    lock, token = folder / "quiet.lock", AgentToken(token=TOKENS[url])
    settings = AgentSettings(url, folder, "bench", thresholds=lenient, quiet_lock=lock, token=token)
    stop = threading.Event()
    thread = threading.Thread(target=run_agent, args=(settings, stop))
    folder.mkdir()
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=30)


def test_a_real_agents_log_of_a_graph_that_the_runtime_refuses_is_kept(tmp_path: Path) -> None:
    candidate, sentinel = tiny_model("candidate", operator="NoSuchOperator"), tiny_model("sentinel", seed=8)
    protocol = Protocol("as-shipped", 1, 1, 3, 4, 2, 0.04, 60.0, None)
    workload = Workload(prompt_tokens=16, context_tokens=32, generate_tokens=8)
    plan = MeasurementPlan(candidate.files, sentinel.files, workload, None, protocol, None)
    with a_service(tmp_path / "data") as running, a_real_agent(running.url, tmp_path / "agent"):
        with running.client() as client:
            wait_until(lambda: len(client.devices()) == 1)
            for model in (candidate, sentinel):
                running.parts.blobs.put(model.graph)
            draft = JobDraft(client.devices()[0].id, None, "single", "key", to_dict(plan))
            with running.parts.database.write() as session:
                Jobs(session).create(draft)
            running.parts.bell.ring()
            wait_until(lambda: any(each.ended_at for each in client.device_attempts("bench")))
            (attempt,) = client.device_attempts("bench")
        shown = loopfront("device", "log", "bench", "--url", running.url)
    assert (attempt.outcome, attempt.agent) == ("unsupported", "bench")
    assert "NoSuchOperator" in attempt.reason
    assert '"record": "hello"' in attempt.log
    assert "unsupported" in shown.stdout
    assert '    | {"record": "hello"' in shown.stdout
