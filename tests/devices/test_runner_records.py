"""Judging a run by what it printed, for the endings that no test can bring about safely."""

import json
from typing import Any

import pytest

from devices.connection import CommandResult, Ending
from devices.errors import MeasurementStopped
from devices.outcome import OutOfMemory, RunnerFault, TimedOut, Unsupported
from devices.runner_records import ProvenRun, judge_run

HELLO = {"record": "hello", "nonce": "n"}
BLOCK = {"record": "block", "phase": "decode", "candidate_ms": [1.0, 2.0], "sentinel_ms": [3.0]}
DONE = {"record": "done", "nonce": "n", "samples": 3}


def a_result(*records: dict[str, Any], ending: Ending = Ending.EXITED, **changes: Any) -> CommandResult:
    fields = {"status": 0, "errors": "", **changes}
    return CommandResult(ending, lines=tuple(map(json.dumps, records)), **fields)


def failed(kind: str, reason: str) -> dict[str, Any]:
    return {"record": "failed", "kind": kind, "reason": reason}


def test_a_complete_run_is_proven_even_if_the_status_is_unknown() -> None:
    for status in (0, None):
        run = judge_run(a_result(HELLO, BLOCK, DONE, status=status), "n", False)
        assert isinstance(run, ProvenRun)
        assert run.named("block", phase="decode") == [BLOCK]
        assert run.named("block", phase="prefill") == []


def test_signal_9_is_out_of_memory_only_if_the_kernel_counted_a_kill() -> None:
    killed = a_result(HELLO, status=-9)
    assert isinstance(judge_run(killed, "n", True), OutOfMemory)
    assert isinstance(judge_run(killed, "n", False), RunnerFault)


@pytest.mark.parametrize(
    "errors",
    ["terminate called after throwing an instance of 'std::bad_alloc'", "Cannot allocate memory"],
)
def test_a_failed_allocation_on_stderr_is_out_of_memory(errors: str) -> None:
    assert isinstance(judge_run(a_result(HELLO, status=-6, errors=errors), "n", False), OutOfMemory)


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (
            failed("refused", "ONNX Runtime error 6: Failed to allocate memory for requested buffer"),
            OutOfMemory,
        ),
        (failed("refused", "ONNX Runtime error 9: Could not find an implementation for Det"), Unsupported),
        (failed("out_of_memory", "above the limit"), OutOfMemory),
        (failed("timed_out", "not done after 1 s"), TimedOut),
        (failed("fault", "No space left on device"), RunnerFault),
        (failed("news", "from a later version"), RunnerFault),
    ],
)
def test_what_the_runner_says_of_its_failure_is_believed(record: dict[str, Any], kind: type) -> None:
    judged = judge_run(a_result(HELLO, record, status=1), "n", False)
    assert type(judged) is kind


def test_the_log_keeps_both_ends_of_a_long_output() -> None:
    lines = [HELLO, *({"record": "heartbeat", "runs": number} for number in range(5000))]
    judged = judge_run(a_result(*lines, errors="last words"), "n", False)
    assert isinstance(judged, RunnerFault)
    assert len(judged.log) < 50_000
    assert judged.log.startswith('{"record": "hello"')
    assert "characters left out" in judged.log
    assert judged.log.endswith("last words")


def test_a_run_that_was_stopped_is_no_outcome() -> None:
    with pytest.raises(MeasurementStopped):
        judge_run(a_result(HELLO, ending=Ending.STOPPED, status=-9), "n", False)


@pytest.mark.parametrize(
    "records",
    [
        (),
        (DONE,),
        (HELLO, BLOCK),
        (BLOCK, DONE),
        (HELLO, BLOCK, {**DONE, "samples": 4}),
        (HELLO, BLOCK, DONE, HELLO),
    ],
)
def test_exit_status_0_alone_proves_nothing(records: tuple[dict[str, Any], ...]) -> None:
    assert isinstance(judge_run(a_result(*records), "n", False), RunnerFault)
