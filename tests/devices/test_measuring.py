"""Measuring with the real runner and runtime, and every way in which a device or a candidate can fail."""

import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devices.bench import Bench
from devices.calibration import reference_from
from devices.connection import CommandResult, Limits
from devices.device_facts import DeviceFacts
from devices.device_folder import DeviceFolder
from devices.errors import MeasurementStopped
from devices.local import LocalConnection
from devices.measuring import measure, measure_in_steps
from devices.outcome import (
    DeviceLost,
    Measured,
    NotReady,
    OutOfMemory,
    RunnerFault,
    Throttled,
    TimedOut,
    Unsupported,
    WrongOutput,
    outcome_from_dict,
    outcome_to_dict,
)
from devices.plan import MeasurementPlan, OutputCheck, Protocol, SentinelReference, StateSpec, Workload
from devices.readiness import Thresholds
from devices.runner.build import BuiltRunner
from devices.runtime_library import installed_runtime
from devices.steps import in_one_go
from devices.summary import summarise
from tests.devices.tiny_models import TinyModel, pool_bytes, tiny_model

CANDIDATE = tiny_model("candidate", hidden_size=64)
SENTINEL = tiny_model("sentinel", hidden_size=128, seed=8)
PROMPT_IDS, DECODE_IDS, INDICES = (1, 2, 3, 60), (4, 5), (0, 1, 7, 40, 63)

# Tests share their machine, so only the tests of the gate itself ask for idle cores.
LENIENT = Thresholds(
    temperature_c=200.0, idle_cores=-1000.0, battery_percent=0, spare_bytes=0, patience_s=0.0
)


def a_protocol(**changes: Any) -> Protocol:
    protocol = Protocol("as-shipped", 2, 3, 4, 4, 2, 0.04, 30.0, None)
    return dataclasses.replace(protocol, **changes)


def a_check(folder: Path, **changes: Any) -> OutputCheck:
    rows = CANDIDATE.expected_logits(folder, PROMPT_IDS, DECODE_IDS)
    expected = tuple(tuple(row[index] for index in INDICES) for row in rows)
    return dataclasses.replace(OutputCheck(PROMPT_IDS, DECODE_IDS, INDICES, expected, 0.9999), **changes)


def a_plan(candidate: TinyModel = CANDIDATE, **changes: Any) -> MeasurementPlan:
    workload = Workload(prompt_tokens=16, context_tokens=32, generate_tokens=8)
    plan = MeasurementPlan(candidate.files, SENTINEL.files, workload, None, a_protocol(), None)
    return dataclasses.replace(plan, **changes)


# Millions of blocks: long enough for a test to interfere.
ENDLESS = a_protocol(blocks=5_000_000)


def a_bench(runner: BuiltRunner, folder: Path, **changes: Any) -> Bench:
    connection = LocalConnection()
    bench = Bench(
        connection,
        DeviceFolder(connection, str(folder)),
        runner,
        installed_runtime(),
        DeviceFacts({"processor": "of the test"}, {}),
        LENIENT,
    )
    return dataclasses.replace(bench, **changes)


def graph_of(*models: TinyModel) -> Callable[[str], bytes]:
    graphs = {model.files.graph_sha256: model.graph for model in (*models, CANDIDATE, SENTINEL)}
    return graphs.__getitem__


def a_script(folder: Path, text: str) -> BuiltRunner:
    """A program in the runner's place, to see what is believed of what it says."""
    path = folder / "script"
    path.write_text(f"#!/bin/sh\nnonce=$(sed -n 's/^nonce //p' \"$1\")\n{text}\n")
    path.chmod(0o755)
    return BuiltRunner(path, "0" * 64, "sh")


def runner_pids(folder: Path, task: str = "") -> list[int]:
    """The runners whose plan lies in this folder, and is of that task."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(folder / "plan.txt").encode() in words:
            pids.append(int(entry.parent.name))
    plan = folder / "plan.txt"
    return pids if plan.exists() and f"task {task}" in plan.read_text() else []


@contextmanager
def once_timing(folder: Path, act: Callable[[int], object]) -> Iterator[None]:
    """Do something to the runner while it is timing."""

    def wait_and_act() -> None:
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            if pids := runner_pids(folder, "time"):
                time.sleep(0.3)
                act(pids[0])
                return
            time.sleep(0.02)

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    yield
    thread.join()


def test_a_candidate_is_measured_with_its_evidence(runner: BuiltRunner, tmp_path: Path) -> None:
    bench = a_bench(runner, tmp_path / "device")
    outcome = measure(a_plan(check=a_check(tmp_path / "reference")), bench, graph_of(), order_in_session=5)
    assert isinstance(outcome, Measured), outcome
    assert {len(outcome.decode.processes), len(outcome.prefill.processes)} <= {2, 3}
    assert {len(process.blocks) for process in outcome.decode.processes} == {4}
    assert summarise(outcome.decode).raw_p50_ms > 0
    assert outcome.memory.peak_rss_bytes >= outcome.memory.load_bytes > outcome.memory.process_bytes > 0
    assert len(outcome.cosine) == 3
    assert min(outcome.cosine) > 0.9999
    assert outcome.passport["order_in_session"] == 5
    assert outcome.passport["memory_phases"]["decode"]["anonymous_bytes"] == outcome.memory.anonymous_bytes
    assert outcome.passport["memory_peaks"] in ("per phase", "since the start of the process")
    assert outcome.passport["processes"][0]["affinity"] == sorted(os.sched_getaffinity(0))
    assert outcome.passport["runtime"]["version"] == "1.32.0"
    assert outcome_from_dict(outcome_to_dict(outcome)) == outcome


def test_processes_are_added_until_precise_or_the_cap_and_the_passport_says_which(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    for target, reached, processes in ((1e-9, False, 3), (1e9, True, 2)):
        plan = a_plan(protocol=a_protocol(half_width_target=target))
        outcome = measure(plan, a_bench(runner, tmp_path), graph_of())
        assert isinstance(outcome, Measured)
        assert len(outcome.decode.processes) == processes
        assert outcome.passport["precision"]["reached"] is reached


def test_decode_is_measured_at_every_context_beside_a_sentinel_that_stays_at_the_first(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    workload = Workload(prompt_tokens=16, context_tokens=32, generate_tokens=8, deeper_contexts=(48, 80))
    outcome = measure(a_plan(workload=workload), a_bench(runner, tmp_path), graph_of())
    assert isinstance(outcome, Measured), outcome
    assert [each.context_tokens for each in outcome.deeper] == [48, 80]
    counts = {len(each.phase.processes) for each in outcome.deeper}
    assert counts == {len(outcome.decode.processes)}
    assert {len(process.blocks) for process in outcome.deeper[0].phase.processes} == {8}
    assert set(outcome.passport["precision"]["half_widths"]) == {
        *("prefill", "decode", "decode at 48", "decode at 80")
    }
    assert outcome_from_dict(outcome_to_dict(outcome)) == outcome


def test_the_lab_profile_keeps_to_the_fastest_core_and_says_what_became_of_the_clocks(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    bench = a_bench(runner, tmp_path, facts=DeviceFacts({"cores": os.cpu_count()}, {}))
    outcome = measure(a_plan(protocol=a_protocol(profile="lab")), bench, graph_of())
    assert isinstance(outcome, Measured), outcome
    core = outcome.passport["lab"]["cpus"]
    assert len(core) == 1
    assert {tuple(process["affinity"]) for process in outcome.passport["processes"]} == {tuple(core)}
    assert "governor" in outcome.passport["lab"]["clocks"]


def test_processes_that_time_decode_alone_make_up_the_number_that_is_asked_for(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    plan = a_plan(protocol=a_protocol(half_width_target=1e9, decode_processes=4))
    outcome = measure(plan, a_bench(runner, tmp_path), graph_of())
    assert isinstance(outcome, Measured)
    assert (len(outcome.prefill.processes), len(outcome.decode.processes)) == (2, 4)
    assert len(outcome.passport["processes"]) == 4


def test_processes_that_are_added_time_only_the_phase_that_is_not_precise_yet(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    plan = a_plan(protocol=a_protocol(half_width_target=1e-9, maximum_processes=4, decode_processes=6))
    outcome = measure(plan, a_bench(runner, tmp_path), graph_of())
    assert isinstance(outcome, Measured)
    assert (len(outcome.prefill.processes), len(outcome.decode.processes)) == (4, 8)
    assert len(outcome.passport["processes"]) == 8


def test_a_calibration_is_the_sentinel_against_itself(runner: BuiltRunner, tmp_path: Path) -> None:
    outcome = measure(a_plan(SENTINEL), a_bench(runner, tmp_path), graph_of())
    assert isinstance(outcome, Measured)
    assert summarise(outcome.decode).ratio_median == pytest.approx(1.0, rel=0.5)
    assert reference_from(outcome).decode_ms > 0
    assert (tmp_path / "pools" / SENTINEL.files.pool.digest / f"{SENTINEL.files.graph_sha256}.onnx").exists()


def test_pools_and_sentinel_stay_for_the_next_candidate_and_its_own_graph_goes(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    assert isinstance(measure(a_plan(), a_bench(runner, tmp_path), graph_of()), Measured)
    pools = {path.parent.name for path in tmp_path.rglob("pool.bin")}
    assert pools == {CANDIDATE.files.pool.digest, SENTINEL.files.pool.digest}
    graphs = {path.name for path in tmp_path.rglob("*.onnx")}
    assert graphs == {f"{SENTINEL.files.graph_sha256}.onnx"}


def test_a_garbage_pool_is_made_again_before_anything_is_measured(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    pool = tmp_path / "device" / "pools" / CANDIDATE.files.pool.digest / "pool.bin"
    pool.parent.mkdir(parents=True)
    pool.write_bytes(b"\xff" * CANDIDATE.files.pool.size_bytes)
    plan = a_plan(check=a_check(tmp_path / "reference"))
    assert isinstance(measure(plan, a_bench(runner, tmp_path / "device"), graph_of()), Measured)
    assert pool.read_bytes() == pool_bytes(CANDIDATE.files.pool)


def test_other_logits_than_the_reference_are_a_wrong_output(runner: BuiltRunner, tmp_path: Path) -> None:
    good = a_check(tmp_path / "reference")
    check = dataclasses.replace(good, expected=(*good.expected[:-1], (1.0, -1.0, 1.0, 1.0, 1.0)))
    outcome = measure(a_plan(check=check), a_bench(runner, tmp_path), graph_of())
    assert isinstance(outcome, WrongOutput)
    assert "in row 2, at least 0.9999 is required" in outcome.reason


def test_logits_that_are_not_numbers_are_a_wrong_output(runner: BuiltRunner, tmp_path: Path) -> None:
    broken = tiny_model("nan", hidden_size=64, operator="Log")
    plan = a_plan(broken, check=a_check(tmp_path / "reference"))
    outcome = measure(plan, a_bench(runner, tmp_path), graph_of(broken))
    assert isinstance(outcome, WrongOutput)
    assert "cosine nan" in outcome.reason


@pytest.mark.parametrize("operator", ["NoSuchOperator", "Det"])
def test_a_graph_that_the_runtime_refuses_is_unsupported(
    runner: BuiltRunner, tmp_path: Path, operator: str
) -> None:
    strange = tiny_model("strange", operator=operator)
    outcome = measure(a_plan(strange), a_bench(runner, tmp_path), graph_of(strange))
    assert isinstance(outcome, Unsupported)
    assert operator in outcome.reason


def test_a_candidate_above_the_memory_limit_is_out_of_memory(runner: BuiltRunner, tmp_path: Path) -> None:
    plan = a_plan(protocol=a_protocol(memory_limit_bytes=25_000_000))
    outcome = measure(plan, a_bench(runner, tmp_path), graph_of())
    assert isinstance(outcome, OutOfMemory)
    assert "above the limit of 25.0 MB" in outcome.reason


class Noting(LocalConnection):
    """This machine, whose plans are noted."""

    def __init__(self) -> None:
        self.plans: list[str] = []

    def run(
        self, command: Sequence[str], limits: Limits, stop: threading.Event, standard_input: bytes = b""
    ) -> CommandResult:
        """Run a command as ever."""
        self.plans.append(standard_input.decode())
        return super().run(command, limits, stop, standard_input)


def test_a_candidate_may_take_what_is_free_but_the_spare(runner: BuiltRunner, tmp_path: Path) -> None:
    connection, spare_bytes = Noting(), 400_000_000
    thresholds = dataclasses.replace(LENIENT, spare_bytes=spare_bytes)
    bench = a_bench(runner, tmp_path, connection=connection, thresholds=thresholds)
    outcome = measure(a_plan(), bench, graph_of())
    assert isinstance(outcome, Measured)
    available_bytes = outcome.passport["conditions"]["before"]["available_bytes"]
    (plan,) = [plan for plan in connection.plans if "task memory" in plan]
    assert f"memory_limit_bytes {available_bytes - spare_bytes}\n" in plan


def test_a_candidate_that_takes_too_long_is_timed_out(runner: BuiltRunner, tmp_path: Path) -> None:
    protocol = a_protocol(blocks=5_000_000, deadline_s=1.0)
    outcome = measure(a_plan(protocol=protocol), a_bench(runner, tmp_path), graph_of())
    assert isinstance(outcome, TimedOut)
    assert "not done after 1 s" in outcome.reason
    assert '"record": "hello"' in outcome.log


def test_a_runner_killed_in_the_middle_is_a_runner_fault(runner: BuiltRunner, tmp_path: Path) -> None:
    with once_timing(tmp_path, lambda pid: os.kill(pid, signal.SIGKILL)):
        outcome = measure(a_plan(protocol=ENDLESS), a_bench(runner, tmp_path), graph_of())
    assert isinstance(outcome, RunnerFault)
    assert outcome.reason == "the runner ended with signal 9"


def test_a_runner_that_stands_still_is_noticed_by_its_missing_heartbeat(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    bench = a_bench(runner, tmp_path, silence_s=1.0)
    with once_timing(tmp_path, lambda pid: os.kill(pid, signal.SIGSTOP)):
        outcome = measure(a_plan(protocol=ENDLESS), bench, graph_of())
    assert isinstance(outcome, RunnerFault), (
        "it beats whatever the candidate does, so it is no candidate's doing"
    )
    assert "heartbeat stopped" in outcome.reason
    assert runner_pids(tmp_path) == []


def test_stopping_ends_the_runner_and_is_no_outcome(runner: BuiltRunner, tmp_path: Path) -> None:
    stop = threading.Event()
    with once_timing(tmp_path, lambda _: stop.set()), pytest.raises(MeasurementStopped):
        measure(a_plan(protocol=ENDLESS), a_bench(runner, tmp_path), graph_of(), stop)
    assert runner_pids(tmp_path) == []


def test_the_runner_does_not_outlive_a_killed_parent(runner: BuiltRunner, tmp_path: Path) -> None:
    code = f"""
import threading, sys
from pathlib import Path
from devices.runner.build import BuiltRunner
from tests.devices.test_measuring import *
runner = BuiltRunner(Path({str(runner.path)!r}), "", "")
measure(a_plan(protocol=ENDLESS), a_bench(runner, Path({str(tmp_path)!r})), graph_of())
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    with once_timing(tmp_path, lambda _: parent.kill()):
        assert parent.wait(timeout=60) == -signal.SIGKILL
    deadline_s = time.monotonic() + 5
    while runner_pids(tmp_path) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert runner_pids(tmp_path) == []


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", "did not begin with our nonce"),
        ("echo garbage", "1 of 1 lines are no records"),
        ("exit 3", "exit status 3"),
        ('echo "{\\"record\\": \\"hello\\", \\"nonce\\": \\"$nonce\\"}"', "did not end with `done`"),
        (
            'echo "{\\"record\\": \\"hello\\", \\"nonce\\": \\"$nonce\\"}"; '
            'echo "{\\"record\\": \\"done\\", \\"nonce\\": \\"another\\", \\"samples\\": 0}"',
            "did not end with `done`",
        ),
        (
            'echo "{\\"record\\": \\"hello\\", \\"nonce\\": \\"$nonce\\"}"; '
            'echo "{\\"record\\": \\"done\\", \\"nonce\\": \\"$nonce\\", \\"samples\\": 9}"',
            "0 samples arrived, the runner says 9",
        ),
        ("yes", "printed far more than its plan asks for"),
    ],
)
def test_a_run_without_its_proof_is_never_a_success(tmp_path: Path, script: str, reason: str) -> None:
    bench = a_bench(a_script(tmp_path, script), tmp_path / "device")
    outcome = measure(a_plan(), bench, graph_of())
    assert isinstance(outcome, RunnerFault), outcome
    assert reason in outcome.reason


def test_slow_kernels_on_an_unknown_processor_invalidate_the_run(runner: BuiltRunner, tmp_path: Path) -> None:
    complaint = "echo 'onnxruntime cpuid_info warning: Unknown CPU vendor' >&2"
    script = a_script(tmp_path, f'{complaint}; exec {shlex.quote(str(runner.path))} "$1"')
    outcome = measure(a_plan(), a_bench(script, tmp_path / "device"), graph_of())
    assert isinstance(outcome, RunnerFault)
    assert "slower kernels" in outcome.reason


def test_a_device_that_never_becomes_ready_is_not_measured(runner: BuiltRunner, tmp_path: Path) -> None:
    impossible = dataclasses.replace(LENIENT, idle_cores=1000.0, patience_s=0.0)
    outcome = measure(a_plan(), a_bench(runner, tmp_path, thresholds=impossible), graph_of())
    assert isinstance(outcome, NotReady)
    assert "cores busy" in outcome.reason


def test_a_candidate_that_the_free_memory_cannot_hold_is_out_of_memory_on_a_device_that_is_well(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    cache = StateSpec("past_endless", "present_endless", (1 << 20, 1 << 20), shared_buffer=True)  # 4 TiB
    candidate = dataclasses.replace(CANDIDATE.files, states=(*CANDIDATE.files.states, cache))
    plan = dataclasses.replace(a_plan(), candidate=candidate)
    outcome = measure(plan, a_bench(runner, tmp_path), graph_of())
    assert isinstance(outcome, OutOfMemory)
    assert "MB are needed" in outcome.reason
    busy = dataclasses.replace(LENIENT, idle_cores=1000.0, patience_s=0.0)
    unwell = measure(plan, a_bench(runner, tmp_path, thresholds=busy), graph_of())
    assert isinstance(unwell, NotReady), "nobody knows whether it would fit"


def test_decode_that_is_unsettled_is_timed_again_later_and_what_was_set_aside_is_told(
    runner: BuiltRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([True, True, False])
    monkeypatch.setattr("devices.measuring.is_unsettled", lambda _: next(looks))
    bench = a_bench(runner, tmp_path, thresholds=dataclasses.replace(LENIENT, patience_s=0.3))
    protocol = a_protocol(minimum_processes=1, maximum_processes=1, decode_processes=2)
    outcome = measure(a_plan(protocol=protocol), bench, graph_of())
    assert isinstance(outcome, Measured)
    assert (len(outcome.prefill.processes), len(outcome.decode.processes)) == (1, 2)
    assert [len(ratios) for ratios in outcome.passport["decode_ratios_set_aside"]] == [2, 2]
    assert len(outcome.passport["processes"]) == 2 + 2 + 2
    assert outcome.passport["waited_until_ready_s"] >= 0.15


def test_a_graph_that_another_measurement_still_needs_stays(runner: BuiltRunner, tmp_path: Path) -> None:
    bench, stop = a_bench(runner, tmp_path), threading.Event()
    first = measure_in_steps(a_plan(), bench, graph_of(), stop, 0)
    next(first)
    assert isinstance(measure(a_plan(), bench, graph_of()), Measured)
    assert isinstance(in_one_go(first, stop), Measured)
    assert not bench.folder.holds(bench.folder.place(CANDIDATE.files).graph_path)


def test_a_sentinel_far_below_its_calibration_is_throttled_after_a_second_try(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    plan = a_plan(sentinel_reference=SentinelReference(1e-6, 1e-6))
    outcome = measure(plan, a_bench(runner, tmp_path), graph_of())
    assert isinstance(outcome, Throttled)
    assert "times slower than at its calibration" in outcome.reason


def test_a_device_that_cannot_be_written_to_is_lost(runner: BuiltRunner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = measure(a_plan(), a_bench(runner, tmp_path / "file" / "device"), graph_of())
    assert isinstance(outcome, DeviceLost)
    assert "cannot be written" in outcome.reason


def test_a_runner_that_cannot_be_started_is_a_lost_device(tmp_path: Path) -> None:
    missing = BuiltRunner(tmp_path / "missing", "", "")
    assert isinstance(measure(a_plan(), a_bench(missing, tmp_path), graph_of()), DeviceLost)


def test_a_stop_while_the_device_is_not_ready_is_no_result(runner: BuiltRunner, tmp_path: Path) -> None:
    busy = Thresholds(idle_cores=1e6, patience_s=60.0, pause_s=0.1)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(MeasurementStopped):
        measure(a_plan(), a_bench(runner, tmp_path, thresholds=busy), graph_of(), stop)


def test_a_graph_that_was_damaged_after_the_candidate_ran_is_the_devices_fault(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    bench = a_bench(runner, tmp_path)
    stop = threading.Event()
    steps = measure_in_steps(a_plan(), bench, graph_of(), stop, 0)
    next(steps)  # memory was read, the first timed process is next
    sentinel = Path(bench.folder.place(SENTINEL.files).graph_path)
    sentinel.write_bytes(b"")
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    assert isinstance(end.value.value, RunnerFault)
    assert "lost or damaged" in end.value.value.reason
    assert isinstance(measure(a_plan(), bench, graph_of()), Measured), "it was pushed anew"
