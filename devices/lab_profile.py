"""The `lab` profile: keep the runner to the fastest cores, and ask for their highest clock while it is measured."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from devices.connection import Connection, Limits
from devices.device_facts import DeviceFacts
from devices.errors import ConnectionFault

_LIMITS = Limits(deadline_s=20.0, silence_s=20.0)

# Notes the governor that was there in a file on the device, so that it is put back even if the line breaks.
_SET_GOVERNOR = """kept=$1
shift
for n; do
  f=/sys/devices/system/cpu/cpu$n/cpufreq/scaling_governor
  [ -w "$f" ] || exit 1
  echo "$n $(cat "$f")" >>"$kept" || exit 1
  echo performance >"$f" || exit 1
done"""
_RESTORE_GOVERNOR = """[ -f "$1" ] || exit 0
while read -r n governor; do
  echo "$governor" >"/sys/devices/system/cpu/cpu$n/cpufreq/scaling_governor"
done <"$1"
rm -f -- "$1" """


@dataclass(frozen=True)
class LabSettings:
    """The cores that the runner keeps to, and what became of the wish for their highest clock."""

    cpus: tuple[int, ...]
    clocks: str

    def to_dict(self) -> dict[str, Any]:
        """Write the settings as plain JSON values, for the passport."""
        return {"cpus": list(self.cpus), "clocks": self.clocks}


def fastest_cpus(facts: DeviceFacts, threads: int) -> tuple[int, ...]:
    """Return the `threads` cores of most capacity, then clock; of equals the last, for interrupts prefer the first."""
    cores, system = facts.values.get("cores"), str(facts.values.get("system"))
    if (
        not isinstance(cores, int) or cores < 1 or system.startswith("macOS")
    ):  # which keeps no thread to a core
        return ()
    capacities, clocks_mhz = (
        _per_core(facts, name, cores) for name in ("core_capacities", "frequency_max_mhz")
    )
    ranked = sorted(range(cores), key=lambda cpu: (capacities[cpu], clocks_mhz[cpu], cpu), reverse=True)
    return tuple(sorted(ranked[:threads]))


def put_governors_back(connection: Connection, kept: str) -> None:
    """Undo what a measurement whose line broke left behind; `kept` is where it noted what had been there."""
    connection.run(["sh", "-c", _RESTORE_GOVERNOR, "restore", kept], _LIMITS, threading.Event())


@contextmanager
def lab_settings(
    connection: Connection, facts: DeviceFacts, threads: int, kept: str
) -> Iterator[LabSettings]:
    """Choose cores and set their governor to `performance` where that is allowed; it is put back at the end.

    What was there is noted in the file `kept` on the device. Raises ConnectionFault where it can't be reached at the
    start.
    """
    cpus = fastest_cpus(facts, threads)
    put_governors_back(connection, kept)
    words = [kept, *map(str, cpus)]
    told = connection.run(["sh", "-c", _SET_GOVERNOR, "set", *words], _LIMITS, threading.Event())
    is_set = bool(cpus) and told.status == 0
    try:
        yield LabSettings(
            cpus, "governor performance" if is_set else "as they are: no right to set the governor"
        )
    finally:
        with contextlib.suppress(ConnectionFault):  # it is put back when the device is opened again
            put_governors_back(connection, kept)


def _per_core(facts: DeviceFacts, name: str, cores: int) -> list[int]:
    """Return a fact per core; alike for all where the device does not tell it of each."""
    told = facts.values.get(name)
    return told if isinstance(told, list) and len(told) == cores else [0] * cores
