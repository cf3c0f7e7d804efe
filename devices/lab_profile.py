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

# Prints the governor that was there, so that it can be put back.
_SET_GOVERNOR = """for n in "$@"; do
  f=/sys/devices/system/cpu/cpu$n/cpufreq/scaling_governor
  [ -w "$f" ] || exit 1
  echo "$n $(cat "$f")"
  echo performance >"$f" || exit 1
done"""
_RESTORE_GOVERNOR = 'echo "$2" >"/sys/devices/system/cpu/cpu$1/cpufreq/scaling_governor"'


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


@contextmanager
def lab_settings(connection: Connection, facts: DeviceFacts, threads: int) -> Iterator[LabSettings]:
    """Choose cores and set their governor to `performance` where that is allowed; it is put back at the end.

    Raises ConnectionFault where the device can't be reached at the start.
    """
    cpus = fastest_cpus(facts, threads)
    words = [str(cpu) for cpu in cpus]
    told = connection.run(["sh", "-c", _SET_GOVERNOR, "set", *words], _LIMITS, threading.Event())
    is_set = bool(cpus) and told.status == 0
    try:
        yield LabSettings(
            cpus, "governor performance" if is_set else "as they are: no right to set the governor"
        )
    finally:
        with contextlib.suppress(
            ConnectionFault
        ):  # a device that was lost starts with its own governor again
            for line in told.lines:
                connection.run(
                    ["sh", "-c", _RESTORE_GOVERNOR, "restore", *line.split(maxsplit=1)],
                    _LIMITS,
                    threading.Event(),
                )


def _per_core(facts: DeviceFacts, name: str, cores: int) -> list[int]:
    """Return a fact per core; alike for all where the device does not tell it of each."""
    told = facts.values.get(name)
    return told if isinstance(told, list) and len(told) == cores else [0] * cores
