"""How an Android phone says it is: its battery and its temperatures, as `dumpsys` prints them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from devices.device_files import said

BATTERY = ("dumpsys", "battery")
THERMAL = ("dumpsys", "thermalservice")

_DISCHARGING, _UNKNOWN_STATUS = 3, 1
"""android.os.BatteryManager's BATTERY_STATUS_..."""

_BODY_TYPES = (0, 1, 2, 3)
"""Of android.os.Temperature's TYPE_...: processor, graphics, battery, skin. Others are no temperatures of ours, or none
at all, such as a battery's current."""


@dataclass(frozen=True)
class AndroidState:
    """A phone at one moment; None where it does not tell, everywhere for a machine that runs no Android."""

    battery_percent: int | None
    is_discharging: bool | None
    battery_temperature_c: float | None
    thermal_status: int | None
    temperature_c: float | None


def android_state(texts: Mapping[str, str]) -> AndroidState:
    """Read what `read_files` brought of BATTERY and THERMAL."""
    battery, thermal = texts.get(said(*BATTERY), ""), texts.get(said(*THERMAL), "")
    status = re.search(r"^Thermal Status: (\d+)$", thermal, re.MULTILINE)
    return AndroidState(
        battery_percent=_percent(battery),
        is_discharging=_is_discharging(battery),
        battery_temperature_c=_battery_temperature_c(battery),
        thermal_status=int(status.group(1)) if status else None,
        temperature_c=_hottest_c(thermal),
    )


def has_battery(battery: str) -> bool:
    """Tell whether there is a battery; raises ValueError where that is not told."""
    present = re.search(r"^ *present: (true|false)$", battery, re.MULTILINE)
    if present is None:
        raise ValueError("dumpsys battery does not answer")
    return present.group(1) == "true"


def _number(battery: str, name: str) -> int | None:
    """Return the first value of that name: some makers let a log of older values follow."""
    found = re.search(rf"^ *{name}: (-?\d+)$", battery, re.MULTILINE)
    return int(found.group(1)) if found else None


def _percent(battery: str) -> int | None:
    level, scale = _number(battery, "level"), _number(battery, "scale")
    if level is None or level < 0 or scale == 0:
        return None
    return round(100 * level / (scale or 100))


def _is_discharging(battery: str) -> bool | None:
    status = _number(battery, "status")
    powered = re.findall(r"^ *\w+ powered: (true|false)$", battery, re.MULTILINE)
    if status in (None, _UNKNOWN_STATUS) and not powered:
        return None
    return status == _DISCHARGING or (bool(powered) and "true" not in powered)


def _battery_temperature_c(battery: str) -> float | None:
    tenths = _number(battery, "temperature")
    return tenths / 10 if tenths and 0 < tenths < 1500 else None  # 0 and -999 are sensors that are not there


def _hottest_c(thermal: str) -> float | None:
    """Return the hottest current temperature; those that Android keeps may be of long ago."""
    current = thermal.partition("Current temperatures from HAL:")[2].partition("Current cooling devices")[0]
    readings = re.findall(r"Temperature\{mValue=(-?[\d.]+), mType=(-?\d+),", current)
    plausible = [float(value) for value, kind in readings if int(kind) in _BODY_TYPES]
    return max((value for value in plausible if 0 < value < 150), default=None)
