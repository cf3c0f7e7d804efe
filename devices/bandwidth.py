"""Measure a device's memory bandwidth: how fast plain reading is, the ceiling of every decode step."""

import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from devices.bandwidth_plan import BandwidthPlan
from devices.bench import Bench
from devices.conditions import read_conditions
from devices.errors import ConnectionFault, MeasurementStopped, PlanError
from devices.outcome import (
    BandwidthMeasured,
    DeviceLost,
    Failure,
    NotReady,
    Outcome,
    RunnerFault,
    TeamReading,
)
from devices.page_placement import malloc_tunables, with_placed_pages
from devices.readiness import Readiness, obstacles, wait_until_ready
from devices.runner_plan import bandwidth_plan
from devices.runner_records import ProvenRun, judge_run
from devices.runner_start import run_plan
from devices.strict_reading import read, write


def measure_bandwidth(
    plan: BandwidthPlan, bench: Bench, stop: threading.Event | None = None, order_in_session: int = 0
) -> Outcome:
    """Wait until ready ▸ read in fresh processes ▸ gather the samples.

    Whatever goes wrong on the device is returned as an outcome; MeasurementStopped is raised if `stop` is set
    before the end, and nothing is left running.
    """
    stop = stop or threading.Event()
    try:
        return _measure(plan, bench, stop, order_in_session)
    except ConnectionFault as fault:
        return DeviceLost(str(fault), "")


def _measure(plan: BandwidthPlan, bench: Bench, stop: threading.Event, order: int) -> Outcome:
    started_at, started_s = datetime.now(UTC), time.monotonic()
    readiness = _wait_until_ready(plan, bench, stop)
    if stop.is_set():
        raise MeasurementStopped("asked to stop while the device was not ready")
    if not readiness.is_ready:
        reason = f"not ready after {readiness.waited_s:.0f} s: {'; '.join(readiness.obstacles)}"
        return NotReady(reason, str(readiness.conditions))
    runs = []
    for _ in range(plan.processes):
        run = _run_once(plan, bench, stop)
        if not isinstance(run, ProvenRun):
            return run
        runs.append(run)
    try:
        teams = tuple(_team_reading(plan, team, runs) for team in plan.teams)
    except PlanError as error:
        return RunnerFault(f"unusable samples: {error}", "\n".join(run.log for run in runs))
    noted = {
        "started_at": started_at.isoformat(timespec="seconds"),
        "order_in_session": order,
        "conditions": {
            "before": write(readiness.conditions),
            "after": write(read_conditions(bench.connection)),
        },
    }
    return BandwidthMeasured(
        teams=teams,
        passport={**_passport(plan, bench, runs), **noted},
        seconds=time.monotonic() - started_s,
        log="".join(run.complaints for run in runs),
    )


def _wait_until_ready(plan: BandwidthPlan, bench: Bench, stop: threading.Event) -> Readiness:
    return wait_until_ready(
        look=lambda: read_conditions(bench.connection),
        judge=lambda now: obstacles(now, bench.thresholds, 1, plan.buffer_bytes),
        thresholds=bench.thresholds,
        wait=stop.wait,
    )


def _run_once(plan: BandwidthPlan, bench: Bench, stop: threading.Event) -> ProvenRun | Failure:
    # Its pages are placed as those of the timed models are: scattered ones read slower on some machines.
    result, nonce = run_plan(
        bench, lambda nonce: bandwidth_plan(nonce, plan), plan.deadline_s, stop, with_placed_pages
    )
    return judge_run(result, nonce, was_killed_for_memory=False)


def _team_reading(plan: BandwidthPlan, team: int, runs: list[ProvenRun]) -> TeamReading:
    """Join one team's samples of all processes, exactly as many as the plan asks for."""
    records = [record for run in runs for record in run.named("bandwidth", threads=team)]
    samples = [ms for record in records for ms in record.get("read_ms") or ()]
    if len(records) != plan.processes or len(samples) != plan.processes * plan.repetitions:
        raise PlanError(f"{len(samples)} readings by {team} threads in {len(records)} processes")
    sizes = {record.get("bytes_read") for record in records}
    (size,) = sizes if len(sizes) == 1 else (None,)
    if not isinstance(size, int) or not 0.9 * plan.buffer_bytes < size <= plan.buffer_bytes:
        raise PlanError(f"{sizes} bytes were read instead of {plan.buffer_bytes}")
    return read(TeamReading, {"threads": team, "bytes_read": size, "read_ms": samples}, "bandwidth")


def _passport(plan: BandwidthPlan, bench: Bench, runs: list[ProvenRun]) -> dict[str, Any]:
    library = {key: value for key, value in asdict(bench.library).items() if key != "path"}
    return {
        "device": bench.facts.to_dict(),
        "runtime": library,
        "runner": {"sha256": bench.runner.sha256, "compiler": bench.runner.compiler},
        "plan": write(plan),
        "malloc_of_timed_processes": malloc_tunables(),
        "processes": [
            {"affinity": run.records[0]["affinity"], "seconds": run.records[-1]["seconds"]} for run in runs
        ],
    }
