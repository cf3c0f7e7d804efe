"""Reaches every device, runs the runner on it, and says in words what is wrong and what to do."""

import posixpath
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devices.adb import AdbServer
from devices.agent_config import PhoneEntry
from devices.conditions import read_conditions
from devices.connection import Connection, Limits
from devices.errors import DeviceError
from devices.phones import KIND, Phones
from devices.plan import PoolSection, PoolSpec
from devices.readiness import Thresholds, obstacles
from devices.runner_plan import pool_plan
from devices.runner_records import ProvenRun, judge_run
from devices.runner_trial import trouble_of_the_library
from devices.service_link import Examination
from devices.station import OpenStation, Station, adb_station

_LIMITS = Limits(deadline_s=30.0, silence_s=10.0)
_SLOW_COMMAND_S = 0.15
_TRIAL_POOL = PoolSpec(1, (PoolSection("bytes", 4096),))


@dataclass(frozen=True)
class Diagnosis:
    """What was found: `trouble` keeps a device from being measured at all, `obstacles` make it wait."""

    name: str
    kind: str
    facts: str
    trouble: str = ""
    obstacles: tuple[str, ...] = ()
    identity: str | None = None
    advice: str = ""


def examine(station: Station) -> Diagnosis:
    """Open a device, run the runner on it, and look at its conditions; nothing is left running."""
    try:
        opened = station.open()
    except DeviceError as error:
        return Diagnosis(station.name, station.kind, "", str(error))
    try:
        return _examine(station, opened)
    except DeviceError as error:
        return Diagnosis(station.name, station.kind, "", str(error), identity=opened.identity)
    except Exception as error:  # a fault of ours must not hide what the others have
        stumbled = f"the doctor stumbled, please report it: {type(error).__name__}: {error}"
        return Diagnosis(station.name, station.kind, "", stumbled, identity=opened.identity)
    finally:
        opened.close()


def examine_phones(
    server: AdbServer,
    entries: Sequence[PhoneEntry],
    folder: Path,
    thresholds: Thresholds,
    from_dir: Path | None = None,
) -> list[Diagnosis]:
    """Examine every phone that adb shows or agent.toml names; raises ConnectionFault if there is no adb."""
    phones = Phones(server, entries)
    found = [examine(adb_station(phone, server, folder, thresholds, from_dir)) for phone in phones.look()]
    found += [Diagnosis(each.name, each.kind, "", each.trouble) for each in phones.troubles()]
    away = "not connected: plug it in, or type: adb connect HOST:PORT"
    return found + [Diagnosis(each.name or each.serial, KIND, "", away) for each in phones.entries_away()]


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
        opened.identity,
        slow_commands_advice(_command_seconds(bench.connection)),
    )


def slow_commands_advice(seconds: float) -> str:
    """Say what makes commands slow where they are, "" else: a measurement runs about twenty."""
    if seconds < _SLOW_COMMAND_S:
        return ""
    return (
        f"every command takes {seconds * 1e3:.0f} ms there; if its shell's start-up file (.bashrc) sets up pyenv, "
        "conda or nvm, let it do so only in interactive shells"
    )


def _command_seconds(connection: Connection) -> float:
    """Return the least time of three commands that do nothing."""
    taken = []
    for _ in range(3):
        started_s = time.monotonic()
        connection.run(["true"], _LIMITS, threading.Event())
        taken.append(time.monotonic() - started_s)
    return min(taken)


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


def examination_of(diagnosis: Diagnosis) -> Examination:
    """Return what the service is told: only what keeps a device from being measured at all fails it."""
    passed = not diagnosis.trouble
    words = diagnosis.trouble or "; ".join(diagnosis.obstacles)
    return Examination(diagnosis.name, diagnosis.identity, passed, words)
