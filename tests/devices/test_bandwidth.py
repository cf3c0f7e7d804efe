"""Reading memory with the real runner, and what is not believed of one that is not."""

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

from devices.bandwidth import measure_bandwidth
from devices.bandwidth_plan import BandwidthPlan, job_plan_from_dict, job_plan_to_dict
from devices.errors import MeasurementStopped, PlanError
from devices.outcome import (
    BandwidthMeasured,
    NotReady,
    Outcome,
    OutOfMemory,
    RunnerFault,
    TimedOut,
    outcome_from_dict,
    outcome_to_dict,
)
from devices.readiness import Thresholds
from devices.runner.build import BuiltRunner
from tests.devices.test_measuring import a_bench, a_plan, a_script


def a_bandwidth_plan(**changes: Any) -> BandwidthPlan:
    plan = BandwidthPlan(buffer_bytes=16 << 20, threads=2, repetitions=3, processes=2, deadline_s=20.0)
    return dataclasses.replace(plan, **changes)


def test_every_reading_by_one_thread_and_by_several_is_kept(runner: BuiltRunner, tmp_path: Path) -> None:
    outcome = measure_bandwidth(a_bandwidth_plan(), a_bench(runner, tmp_path), order_in_session=4)
    assert isinstance(outcome, BandwidthMeasured), outcome
    assert [team.threads for team in outcome.teams] == [1, 2]
    assert [len(team.read_ms) for team in outcome.teams] == [6, 6]
    assert {team.bytes_read for team in outcome.teams} == {16 << 20}
    # No memory reads 10 TB/s: the compiler has not left the reading out. None reads slower than 10 MB/s.
    speeds = [speed for team in outcome.teams for speed in team.bytes_per_second]
    assert 1e7 < min(speeds) <= max(speeds) < 1e13
    assert outcome.passport["order_in_session"] == 4
    assert len(outcome.passport["processes"]) == 2
    assert outcome_from_dict(outcome_to_dict(outcome)) == outcome


def test_one_thread_alone_reads_as_one_team(runner: BuiltRunner, tmp_path: Path) -> None:
    outcome = measure_bandwidth(a_bandwidth_plan(threads=1, processes=1), a_bench(runner, tmp_path))
    assert isinstance(outcome, BandwidthMeasured), outcome
    assert [team.threads for team in outcome.teams] == [1]


def test_a_buffer_that_is_not_a_whole_number_of_shares_is_read_but_for_a_rest(
    runner: BuiltRunner, tmp_path: Path
) -> None:
    outcome = measure_bandwidth(
        a_bandwidth_plan(buffer_bytes=(16 << 20) + 999, threads=3), a_bench(runner, tmp_path)
    )
    assert isinstance(outcome, BandwidthMeasured), outcome
    sizes = [team.bytes_read for team in outcome.teams]
    assert all((16 << 20) - 3 * 128 <= size <= (16 << 20) + 999 for size in sizes)


def test_reading_past_the_deadline_is_timed_out(runner: BuiltRunner, tmp_path: Path) -> None:
    plan = a_bandwidth_plan(buffer_bytes=64 << 20, repetitions=1000, deadline_s=0.3)
    assert isinstance(measure_bandwidth(plan, a_bench(runner, tmp_path)), TimedOut)


def test_a_buffer_that_no_memory_holds_is_out_of_memory(runner: BuiltRunner, tmp_path: Path) -> None:
    limited = a_script(tmp_path, f'ulimit -v 400000; exec {runner.path} "$1"')
    outcome = measure_bandwidth(a_bandwidth_plan(buffer_bytes=1 << 30), a_bench(limited, tmp_path))
    assert isinstance(outcome, OutOfMemory), outcome


def test_a_device_without_the_memory_is_not_ready(runner: BuiltRunner, tmp_path: Path) -> None:
    bench = a_bench(runner, tmp_path, thresholds=Thresholds(temperature_c=200.0, idle_cores=-1000.0,
                                                             spare_bytes=1 << 50, patience_s=0.0))  # fmt: skip
    outcome = measure_bandwidth(a_bandwidth_plan(), bench)
    assert isinstance(outcome, NotReady)
    assert "MB are needed" in outcome.reason


HELLO = 'echo "{\\"record\\": \\"hello\\", \\"nonce\\": \\"$nonce\\", \\"affinity\\": null}"'


def said(readings: str, samples: int) -> str:
    """A runner that says it has read, and proves as many samples as it is told to."""
    done = f'echo "{{\\"record\\": \\"done\\", \\"nonce\\": \\"$nonce\\", \\"samples\\": {samples}, \\"seconds\\": 1}}"'
    return f"{HELLO}\n{readings}\n{done}"


def a_reading(threads: int, milliseconds: str, size: int = 16 << 20) -> str:
    return f'echo \'{{"record": "bandwidth", "threads": {threads}, "bytes_read": {size}, "read_ms": {milliseconds}}}\''


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (said(a_reading(1, "[1, 2, 3]"), 3), "0 readings by 2 threads"),
        (said(f"{a_reading(1, '[1, 2]')}\n{a_reading(2, '[1, 2]')}", 4), "4 readings by 1 threads"),
        (said(f"{a_reading(1, '[1, 2, -3]')}\n{a_reading(2, '[1, 2, 3]')}", 6), "must be positive"),
        (said(f"{a_reading(1, '[1, 2, null]')}\n{a_reading(2, '[1, 2, 3]')}", 6), "expected float"),
        (said(f"{a_reading(1, '[1, 2, 3]', 99)}\n{a_reading(2, '[1, 2, 3]')}", 6), "bytes were read instead"),
        (said(f"{a_reading(1, '[1, 2, 3]')}\n{a_reading(2, '[1, 2, 3]')}", 7), "6 samples arrived, the runner says 7"),
    ],
    ids=["a team missing", "too few", "negative", "no number", "another size", "lost on the way"],
)  # fmt: skip
def test_what_a_runner_says_is_believed_only_if_it_is_what_was_asked(
    script: str, complaint: str, tmp_path: Path
) -> None:
    outcome: Outcome = measure_bandwidth(a_bandwidth_plan(), a_bench(a_script(tmp_path, script), tmp_path))
    assert isinstance(outcome, RunnerFault), outcome
    assert complaint in outcome.reason


def test_stopping_it_ends_the_runner(runner: BuiltRunner, tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    plan = a_bandwidth_plan(buffer_bytes=64 << 20, repetitions=1000)
    with pytest.raises(MeasurementStopped):
        measure_bandwidth(plan, a_bench(runner, tmp_path), stop)


def test_the_plan_of_a_job_is_read_as_what_it_says_it_is() -> None:
    plans = (a_bandwidth_plan(), a_plan())
    assert tuple(job_plan_from_dict(job_plan_to_dict(plan)) for plan in plans) == plans


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"threads": 0}, "threads: expected 1 to 256, got 0"),
        ({"buffer_bytes": 1}, "buffer_bytes"),
        ({"repetitions": 0}, "repetitions"),
        ({"processes": 0}, "processes"),
        ({"deadline_s": 0.0}, "deadline_s"),
        ({"colour": "red"}, "bandwidth plan.colour: unknown key"),
    ],
)
def test_a_plan_with_a_mistake_is_refused_by_its_place(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        job_plan_from_dict({**job_plan_to_dict(a_bandwidth_plan()), **changes})
