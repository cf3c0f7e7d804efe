"""The agent as users run it: with a real HTTP service, real measurements, and everything going wrong."""

import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devices.agent import AgentSettings, main, run_agent
from devices.delivery import Delivery
from devices.measuring import measure_in_steps
from devices.outcome import Measured, Outcome, outcome_from_dict
from devices.plan import MeasurementPlan, Protocol, Workload, to_dict
from devices.quiet import quiet_host
from devices.readiness import Thresholds
from devices.runner.build import BuiltRunner
from devices.service_link import LEASES_PER_DEVICE
from devices.spool import Spool
from devices.steps import Steps
from devices.under_way import UnderWay
from tests.devices.tiny_models import TinyModel, tiny_model
from tests.devices.tiny_service import TinyService

CANDIDATE, SENTINEL = tiny_model("candidate"), tiny_model("sentinel", seed=8)
LENIENT = Thresholds(
    temperature_c=200.0, idle_cores=-1000.0, battery_percent=0, spare_bytes=0, patience_s=0.0
)
LONG_BLOCKS = 5_000_000


@pytest.fixture(autouse=True)
def a_built_runner(runner: BuiltRunner, tmp_path: Path) -> None:
    """Spare each agent the half second of building its own."""
    (tmp_path / "runner").mkdir()
    shutil.copy2(runner.path, tmp_path / "runner")


def a_plan(blocks: int = 3, candidate: TinyModel = CANDIDATE) -> dict[str, Any]:
    protocol = Protocol("as-shipped", 1, 1, blocks, 4, 2, 0.04, 60.0, None)
    workload = Workload(prompt_tokens=16, context_tokens=32, generate_tokens=8)
    return to_dict(MeasurementPlan(candidate.files, SENTINEL.files, workload, None, protocol, None))


def a_service(**changes: Any) -> TinyService:
    return TinyService({model.files.graph_sha256: model.graph for model in (CANDIDATE, SENTINEL)}, **changes)


def settings_for(service: TinyService, folder: Path, **changes: Any) -> AgentSettings:
    settings = AgentSettings(
        service.url, folder, "bench-1", thresholds=LENIENT, quiet_lock=folder / "quiet.lock"
    )
    return dataclasses.replace(settings, **changes)


@contextmanager
def an_agent(settings: AgentSettings) -> Iterator[threading.Event]:
    """Run an agent in a thread; stop it at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=run_agent, args=(settings, stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(timeout=30)
        assert not thread.is_alive()


@contextmanager
def an_agent_process(
    service: TinyService, folder: Path, prepare: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """Run an agent as a process; what `prepare` mounts beforehand, nobody else sees."""
    command = [
        sys.executable,
        "-m",
        "devices.agent",
        "--server",
        service.url,
        "--folder",
        str(folder),
    ]
    if prepare:
        mounting = [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            f'{prepare}exec "$@"',
            "sh",
        ]
        command = mounting + command
    # The gate is not what is tested here, and other tests may keep the cores busy.
    environment = {
        **os.environ,
        "LOOPFRONT_QUIET_LOCK": str(folder / "quiet.lock"),
        "LOOPFRONT_AGENT_IDLE_CORES": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def runner_pids(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        found += [entry.parent.name] if str(folder / "device" / "plan.txt").encode() in words else []
    return found


def wait_until(condition: Any, timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def is_timing(folder: Path) -> bool:
    plan = folder / "device" / "plan.txt"
    return plan.exists() and "task time" in plan.read_text() and bool(runner_pids(folder))


def has_run_lately(folder: Path) -> bool:
    """Look for a second and a half: between two processes of a measurement there is none for a moment."""
    for _ in range(30):
        if runner_pids(folder):
            return True
        time.sleep(0.05)
    return False


def test_jobs_are_measured_one_after_another_and_reported(tmp_path: Path) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path, labels={"room": "lab"})):
        for number in range(3):
            service.enqueue(f"job-{number}", a_plan())
        service.wait_for(lambda: len(service.results) == 3)
    outcomes = [outcome_from_dict(result["outcome"]) for result in service.results.values()]
    assert all(isinstance(outcome, Measured) for outcome in outcomes)
    assert [o.passport["order_in_session"] for o in outcomes if isinstance(o, Measured)] == [0, 1, 2]
    assert len(service.registrations) == 1
    assert service.registrations[0]["devices"][0]["labels"] == {"room": "lab"}
    assert service.registrations[0]["devices"][0]["facts"]["cores"] == os.cpu_count()


def test_jobs_of_a_device_are_measured_in_turns_process_by_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    step = UnderWay.step

    def noting(under_way: UnderWay) -> Outcome | None:
        steps.append(under_way.lease.job_id)
        return step(under_way)

    monkeypatch.setattr(UnderWay, "step", noting)
    protocol = Protocol("as-shipped", 4, 4, 300, 4, 2, 0.04, 60.0, None)
    workload = Workload(prompt_tokens=16, context_tokens=32, generate_tokens=8)
    plan = to_dict(MeasurementPlan(CANDIDATE.files, SENTINEL.files, workload, None, protocol, None))
    with a_service() as service:
        for number in range(LEASES_PER_DEVICE + 1):
            service.enqueue(f"job-{number}", plan)
        with an_agent(settings_for(service, tmp_path)):
            service.wait_for(lambda: len(service.results) == LEASES_PER_DEVICE + 1)
    last, first = steps.index(f"job-{LEASES_PER_DEVICE}"), LEASES_PER_DEVICE - 1
    assert {*steps[last - LEASES_PER_DEVICE : last]} == {f"job-{number}" for number in range(first + 1)}
    assert len(steps) == 5 * (LEASES_PER_DEVICE + 1)
    assert {each["outcome"]["kind"] for each in service.results.values()} == {"measured"}


def test_a_stumble_of_our_own_is_reported_with_its_place_and_the_device_is_served_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stumbles = iter([ValueError("a fault of ours")])

    def measure_later(*args: Any) -> Steps[Outcome]:
        for stumble in stumbles:
            raise stumble
        return (yield from measure_in_steps(*args))

    monkeypatch.setattr("devices.worker.measure_in_steps", measure_later)
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        for number in range(2):
            service.enqueue(f"job-{number}", a_plan())
            service.wait_for(lambda wanted=number + 1: len(service.results) == wanted)
    first, second = (service.results[f"job-{number}"]["outcome"] for number in range(2))
    assert (first["kind"], second["kind"]) == ("runner_fault", "measured")
    assert "ValueError: a fault of ours" in first["reason"]
    assert "measure_later" in first["log"]


def test_a_stumble_beside_a_job_does_not_leave_the_device_unserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stumbles, deliver = iter([ValueError("a fault of ours")]), Delivery.deliver

    def deliver_later(*args: Any) -> None:
        for stumble in stumbles:
            raise stumble
        deliver(*args)

    monkeypatch.setattr(Delivery, "deliver", deliver_later)
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        service.enqueue("job-1", a_plan())
        service.wait_for(lambda: "job-1" in service.results)
    assert "the agent stumbled; please report it" in caplog.text


def test_the_lease_is_kept_alive_while_measuring(tmp_path: Path) -> None:
    with a_service(heartbeat_s=0.05) as service, an_agent(settings_for(service, tmp_path)):
        service.enqueue("job-1", a_plan(LONG_BLOCKS))
        service.wait_for(lambda: service.heartbeats >= 5)


def test_a_service_that_goes_away_in_the_middle_costs_no_measurement(tmp_path: Path) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        service.enqueue("job-1", a_plan(6_000))
        wait_until(lambda: is_timing(tmp_path))
        service.go_away()
        wait_until(lambda: list((tmp_path / "spool").glob("*.json")))
        time.sleep(0.5)
        assert service.results == {}
        service.come_back()
        service.wait_for(lambda: "job-1" in service.results)
    assert service.results["job-1"]["outcome"]["kind"] == "measured"
    assert service.leases_granted == [("job-1", 1)]
    assert list((tmp_path / "spool").glob("*.json")) == []


def test_a_full_disk_loses_no_finished_measurement(tmp_path: Path) -> None:
    probe = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    if shutil.which("unshare") is None or subprocess.run(probe, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small file system to fill")
    spool = tmp_path / "spool"
    spool.mkdir()
    fill = f"mount -t tmpfs -o size=64k none {spool} && head -c 64k /dev/zero > {spool}/filler; "
    with a_service() as service, an_agent_process(service, tmp_path, fill):
        service.enqueue("job-1", a_plan(1_000))
        wait_until(lambda: is_timing(tmp_path))
        service.go_away()
        wait_until(lambda: not has_run_lately(tmp_path))
        service.come_back()
        service.wait_for(lambda: "job-1" in service.results)
        service.enqueue("job-2", a_plan())
        service.wait_for(lambda: "job-2" in service.results)
    assert service.results["job-1"]["outcome"]["kind"] == "measured"
    assert service.leases_granted == [("job-1", 1), ("job-2", 2)]


def test_an_agent_that_starts_before_the_service_waits_for_it(tmp_path: Path) -> None:
    with a_service() as service:
        service.go_away()
        with an_agent(settings_for(service, tmp_path)):
            time.sleep(0.7)
            service.come_back()
            service.enqueue("job-1", a_plan())
            service.wait_for(lambda: "job-1" in service.results)


def test_what_an_earlier_agent_left_in_the_spool_is_delivered_before_new_work(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for job_id in ("old-1", "old-2"):
        spool.put(job_id, 7, {"kind": "timed_out", "reason": "", "log": ""})
    with a_service() as service:
        service.results["old-2"] = {"token": 7}
        with an_agent(settings_for(service, tmp_path)):
            service.wait_for(lambda: service.registrations)
        assert service.results["old-1"]["token"] == 7
    assert spool.waiting() == []


def test_a_result_that_the_service_refuses_for_good_is_set_aside(tmp_path: Path) -> None:
    Spool(tmp_path / "spool").put("old-1", 7, {"kind": "nonsense"})
    with a_service() as service:
        service.refusal = (422, {"title": "unreadable"})
        with an_agent(settings_for(service, tmp_path)):
            wait_until(lambda: list((tmp_path / "spool" / "refused").glob("*.json")))


def test_a_lease_that_someone_else_got_is_dropped_at_once(tmp_path: Path) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        service.superseded.add("job-1")
        service.enqueue("job-1", a_plan(LONG_BLOCKS))
        service.enqueue("job-2", a_plan())
        service.wait_for(lambda: "job-2" in service.results)
        assert "job-1" not in service.results
        assert service.releases == []


def test_a_plan_that_cannot_be_read_is_reported_not_retried(tmp_path: Path) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        service.enqueue("job-1", {**a_plan(), "colour": "red"})
        service.wait_for(lambda: "job-1" in service.results)
    assert service.results["job-1"]["outcome"]["kind"] == "runner_fault"
    assert "plan.colour: unknown key" in service.results["job-1"]["outcome"]["reason"]


def test_a_graph_that_the_service_lacks_is_reported(tmp_path: Path) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        service.enqueue("job-1", a_plan(candidate=tiny_model(seed=99)) | {"sentinel": a_plan()["candidate"]})
        del service.blobs[CANDIDATE.files.graph_sha256]
        service.wait_for(lambda: "job-1" in service.results)
    assert "no such blob" in service.results["job-1"]["outcome"]["reason"]


def test_the_sentinels_graph_is_fetched_once_for_jobs_in_a_row(tmp_path: Path) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        for name in ("job-1", "job-2"):
            service.enqueue(name, a_plan())
            service.wait_for(lambda name=name: name in service.results)  # type: ignore[misc]
    assert service.fetched.count(SENTINEL.files.graph_sha256) == 1
    assert service.fetched.count(CANDIDATE.files.graph_sha256) == 2


def test_a_graph_that_keeps_arriving_damaged_is_reported_not_fetched_for_ever(tmp_path: Path) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        service.blobs[CANDIDATE.files.graph_sha256] = b"damaged"
        service.enqueue("job-1", a_plan())
        service.wait_for(lambda: "job-1" in service.results)
    assert service.results["job-1"]["outcome"]["kind"] == "runner_fault"
    assert CANDIDATE.files.graph_sha256 in service.results["job-1"]["outcome"]["reason"]


def test_measuring_waits_for_the_quiet_of_the_host_and_keeps_its_lease(tmp_path: Path) -> None:
    with a_service(heartbeat_s=0.05) as service:
        settings = settings_for(service, tmp_path)
        with quiet_host(settings.quiet_lock), an_agent(settings):
            service.enqueue("job-1", a_plan())
            service.wait_for(lambda: service.heartbeats >= 10)
            assert service.results == {}
            assert not (tmp_path / "device").exists()
    assert service.releases == [{"job_id": "job-1", "token": 1, "reason": "the agent is stopping"}]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_agent_cleanly_and_gives_the_job_back(
    tmp_path: Path, number: signal.Signals
) -> None:
    with a_service() as service, an_agent_process(service, tmp_path) as process:
        service.enqueue("job-1", a_plan(LONG_BLOCKS))
        wait_until(lambda: is_timing(tmp_path))
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert [release["job_id"] for release in service.releases] == ["job-1"]
        assert runner_pids(tmp_path) == []


def test_an_idle_agent_stops_within_seconds(tmp_path: Path) -> None:
    with a_service() as service, an_agent_process(service, tmp_path) as process:
        service.wait_for(lambda: service.registrations)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0


def test_a_killed_agent_leaves_nothing_running_and_its_successor_delivers_the_spool(tmp_path: Path) -> None:
    with a_service() as service:
        with an_agent_process(service, tmp_path) as process:
            service.enqueue("job-1", a_plan(6_000))
            service.enqueue("job-2", a_plan(LONG_BLOCKS))
            wait_until(lambda: is_timing(tmp_path))
            service.go_away()
            wait_until(lambda: list((tmp_path / "spool").glob("job-1-*.json")))
            process.kill()
        wait_until(lambda: not runner_pids(tmp_path))
        service.come_back()
        with an_agent(settings_for(service, tmp_path)):
            service.wait_for(lambda: "job-1" in service.results)


def test_a_killed_agent_takes_its_runner_along(tmp_path: Path) -> None:
    with a_service() as service, an_agent_process(service, tmp_path) as process:
        service.enqueue("job-1", a_plan(LONG_BLOCKS))
        wait_until(lambda: is_timing(tmp_path))
        process.kill()
        process.wait()
        wait_until(lambda: not runner_pids(tmp_path), timeout_s=5)


def test_an_agent_can_end_with_the_process_that_started_it(tmp_path: Path) -> None:
    with a_service() as service:
        words = [
            "-m",
            "devices.agent",
            "--server",
            service.url,
            "--folder",
            str(tmp_path),
            "--exit-with-parent",
        ]
        code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, *{words!r}]); time.sleep(60)"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen([sys.executable, "-c", code], env=environment) as parent:
            service.wait_for(lambda: service.registrations)
            parent.kill()
        wait_until(lambda: can_lock(tmp_path / "agent.lock"), timeout_s=10)


def can_lock(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_quiet_lock_that_becomes_unusable_is_the_reason_that_is_reported(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "quiet.lock"
    with a_service() as service, an_agent(settings_for(service, tmp_path, quiet_lock=lock)):
        service.wait_for(lambda: service.registrations)
        shutil.rmtree(lock.parent)
        lock.parent.write_text("")
        service.enqueue("job-1", a_plan())
        service.wait_for(lambda: "job-1" in service.results)
    assert service.results["job-1"]["outcome"]["kind"] == "not_ready"
    assert str(lock) in service.results["job-1"]["outcome"]["reason"]


@pytest.mark.parametrize("value", ["many", "nan", ""])
def test_a_setting_that_is_no_number_is_one_line_that_names_it(tmp_path: Path, value: str) -> None:
    with a_service() as service:
        command = [sys.executable, "-m", "devices.agent", "--server", service.url, "--folder", str(tmp_path)]
        environment = {
            **os.environ,
            "LOOPFRONT_AGENT_IDLE_CORES": value,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=30
        )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert f"LOOPFRONT_AGENT_IDLE_CORES: {value!r}" in ended.stderr


def test_two_agents_never_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        service.wait_for(lambda: service.registrations)
        assert main(["--server", service.url, "--folder", str(tmp_path)]) == 2
    assert f"another agent is using {tmp_path}" in capsys.readouterr().err


def test_a_restarted_service_that_forgot_everything_is_told_again_who_we_are(tmp_path: Path) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        service.wait_for(lambda: service.registrations)
        service.refusal = (404, {"title": "no such agent"})
        time.sleep(0.6)
        service.refusal = None
        service.wait_for(lambda: len(service.registrations) >= 2)
        first, second = service.registrations[:2]
        assert json.dumps(first["devices"]) == json.dumps(second["devices"])
        assert (first["is_start"], second["is_start"]) == (True, False)
