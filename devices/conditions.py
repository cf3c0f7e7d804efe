"""How a device is right now: temperature, other programs' load, memory, battery and clocks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from devices.android_state import BATTERY, THERMAL, android_state
from devices.connection import Connection
from devices.device_files import ask, read_files, said
from devices.macos import read_mac_conditions

_FILES = (
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/vmstat",
    "/sys/class/thermal/thermal_zone*/temp",
    "/sys/class/power_supply/*/type",
    "/sys/class/power_supply/*/capacity",
    "/sys/class/power_supply/*/status",
    "/sys/class/power_supply/*/scope",
    "/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq",
)
_STAT = "/proc/stat"
_LOAD = ("sh", "-c", f"cat {_STAT} && {{ sleep 0.1 || sleep 1; }} && echo then && cat {_STAT}")
"""Load needs two looks, with nothing of ours between them; not every sleep takes fractions."""

Files = Mapping[str, str]
Known = TypeVar("Known")


@dataclass(frozen=True)
class Conditions:
    """A device at one moment; None where it does not tell.

    `busy_cores` is how many cores' worth of work all programs did over the last moments. `speed_limit_percent` is how
    fast macOS lets a hot processor run. `thermal_status` is Android's own word for how much it throttles, from 0 (not
    at all) to 6 (about to switch off).
    """

    temperature_c: float | None
    cores: int | None
    busy_cores: float | None
    load_average: float | None
    available_bytes: int | None
    battery_percent: int | None
    is_discharging: bool | None
    clocks_mhz: tuple[int, ...]
    out_of_memory_kills: int | None
    speed_limit_percent: int | None = None
    thermal_status: int | None = None
    battery_temperature_c: float | None = None


def read_conditions(connection: Connection) -> Conditions:
    """Read a device's conditions; takes a little more than a tenth of a second, for the load."""
    files = read_files(connection, _FILES, (_LOAD, BATTERY, THERMAL))
    if not any(files.values()) and _is_mac(connection):
        return Conditions(**read_mac_conditions(connection))
    before, _, after = files.get(said(*_LOAD), "").partition("\nthen\n")
    return conditions_from({_STAT: before}, {**files, _STAT: after})


def read_conditions_but_load(connection: Connection) -> Conditions:
    """Read in one look all but the load: enough between and after runs, whose own load would be told."""
    files = read_files(connection, (_STAT, *_FILES), (BATTERY, THERMAL))
    if not any(files.values()) and _is_mac(connection):
        return Conditions(**read_mac_conditions(connection))
    return conditions_from({}, files)


def _is_mac(connection: Connection) -> bool:
    return ask(connection, "uname", "-s") == "Darwin"


def conditions_from(before: Files, after: Files) -> Conditions:
    """Derive the conditions from the texts of files, by path, at two moments."""
    stat, android = after.get(_STAT, ""), android_state(after)
    return Conditions(
        temperature_c=_first_known(android.temperature_c, _hottest_c(after)),
        cores=len(re.findall(r"^cpu\d+ ", stat, re.MULTILINE)) or None,
        busy_cores=_busy_cores(before.get(_STAT, ""), stat),
        load_average=_first_number(after.get("/proc/loadavg", "")),
        available_bytes=_available_bytes(after.get("/proc/meminfo", "")),
        battery_percent=_first_known(android.battery_percent, _battery_percent(after)),
        is_discharging=_first_known(android.is_discharging, _is_discharging(after)),
        clocks_mhz=tuple(
            int(text) // 1000
            for path, text in sorted(after.items())
            if "scaling_cur_freq" in path and _is_number(text)  # a core that is switched off tells none
        ),
        out_of_memory_kills=_out_of_memory_kills(after.get("/proc/vmstat", "")),
        thermal_status=android.thermal_status,
        battery_temperature_c=android.battery_temperature_c,
    )


def _first_known(told: Known | None, otherwise: Known | None) -> Known | None:
    return otherwise if told is None else told


def _hottest_c(files: Files) -> float | None:
    readings = [
        int(text) / 1000 for path, text in files.items() if path.endswith("/temp") and _is_number(text)
    ]
    # Zones that are switched off answer with -273 or 0.
    plausible = [reading for reading in readings if 0 < reading < 150]
    return max(plausible, default=None)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+", text) is not None


def _busy_cores(before: str, after: str) -> float | None:
    first, second = _ticks(before), _ticks(after)
    if first is None or second is None or second[1] <= first[1]:
        return None
    cores = len(re.findall(r"^cpu\d+ ", after, re.MULTILINE))
    return cores * (second[0] - first[0]) / (second[1] - first[1])


def _ticks(stat: str) -> tuple[int, int] | None:
    """Return (busy, total) ticks of all cores since the start."""
    found = re.search(r"^cpu +(.+)$", stat, re.MULTILINE)
    if found is None:
        return None
    # user nice system idle iowait irq softirq steal; guest time is contained in user.
    words = found.group(1).split()[:8]
    if len(words) < 5 or not all(map(_is_number, words)):
        return None
    ticks = [int(word) for word in words]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _first_number(text: str) -> float | None:
    found = re.match(r"\d+(\.\d+)?", text)
    return float(found.group()) if found else None


def _available_bytes(meminfo: str) -> int | None:
    found = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _batteries(files: Files, name: str) -> list[str]:
    folders = [path.removesuffix("/type") for path, text in files.items() if text == "Battery"]
    # A mouse has a battery too, of the scope "Device".
    own = [folder for folder in folders if files.get(f"{folder}/scope") != "Device"]
    return [files[f"{folder}/{name}"] for folder in own if f"{folder}/{name}" in files]


def _battery_percent(files: Files) -> int | None:
    return min((int(text) for text in _batteries(files, "capacity") if _is_number(text)), default=None)


def _is_discharging(files: Files) -> bool | None:
    statuses = _batteries(files, "status")
    return "Discharging" in statuses if statuses else None


def _out_of_memory_kills(vmstat: str) -> int | None:
    found = re.search(r"^oom_kill (\d+)$", vmstat, re.MULTILINE)
    return int(found.group(1)) if found else None
