"""Reaches a device, runs the runner on it, and says in words what is wrong and what to do."""

import posixpath
import secrets
import threading
from dataclasses import dataclass

from devices.conditions import read_conditions
from devices.connection import Limits
from devices.errors import DeviceError
from devices.plan import PoolSection, PoolSpec
from devices.readiness import obstacles
from devices.runner_plan import pool_plan
from devices.runner_records import ProvenRun, judge_run
from devices.runner_trial import trouble_of_the_library
from devices.station import OpenStation, Station

_LIMITS = Limits(deadline_s=30.0, silence_s=10.0)
_TRIAL_POOL = PoolSpec(1, (PoolSection("bytes", 4096),))


@dataclass(frozen=True)
class Diagnosis:
    """What was found: `trouble` keeps the device from being measured at all, `obstacles` make it wait."""

    name: str
    kind: str
    facts: str
    trouble: str = ""
    obstacles: tuple[str, ...] = ()


def examine(station: Station) -> Diagnosis:
    """Open a device, run the runner on it, and look at its conditions; nothing is left running."""
    try:
        opened = station.open()
    except DeviceError as error:
        return Diagnosis(station.name, station.kind, "", str(error))
    try:
        return _examine(station, opened)
    except DeviceError as error:
        return Diagnosis(station.name, station.kind, "", str(error))
    finally:
        opened.close()


def _examine(station: Station, opened: OpenStation) -> Diagnosis:
    bench = opened.bench
    values = bench.facts.values
    facts = f"{values['processor']}, {values['cores']} cores, {values['system'] or values['kernel']}"
    trouble = _trouble_of_the_runner(opened)
    now = read_conditions(bench.connection)
    return Diagnosis(
        station.name,
        station.kind,
        facts,
        trouble,
        obstacles(now, bench.thresholds, threads=1, needed_bytes=0),
    )


def _trouble_of_the_runner(opened: OpenStation) -> str:
    """Let the runner make a small weight pool and open the runtime: it starts, writes, and is heard to the end."""
    bench, nonce = opened.bench, secrets.token_hex(8)
    path = bench.folder.pool_path(_TRIAL_POOL)
    folder = posixpath.dirname(path)
    plan_path = posixpath.join(folder, "plan.txt")  # not that of a measurement, which may be under way
    plan = pool_plan(nonce, _TRIAL_POOL, path, _LIMITS.deadline_s)
    try:
        bench.connection.push(plan.encode(), plan_path)
        result = bench.connection.run([*bench.runner_command, plan_path], _LIMITS, threading.Event())
        judged = judge_run(result, nonce, False)
        if not isinstance(judged, ProvenRun):
            return f"the runner fails: {judged.reason}"
        trouble = trouble_of_the_library(bench.connection, folder, bench.runner_command, bench.library.path)
        return f"the runtime can't be opened: {trouble}" if trouble else ""
    finally:
        bench.connection.remove(folder)
