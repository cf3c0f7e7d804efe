"""What a Mac tells by sysctl, sw_vers and pmset of what Linux keeps in files.

Written from the commands' manuals and printed examples; it has never run on a Mac.
"""

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from devices.connection import Connection, Limits

_LIMITS = Limits(deadline_s=20.0, silence_s=20.0)
_MARK = "==> loopfront "

VECTOR_INSTRUCTIONS = {
    "AdvSIMD": "NEON",
    "arm.FEAT_DotProd": "NEON dot product",
    "arm.FEAT_I8MM": "I8MM",
    "arm.FEAT_SME": "SME",
}
"""By their names under hw.optional, called as on Linux."""

_LEVELS = tuple(
    f"hw.perflevel{level}.{name}"
    for level in (0, 1)
    for name in ("name", "physicalcpu", "l1icachesize", "l1dcachesize", "l2cachesize")
)
_NAMES = ("hw.model", "hw.ncpu", "hw.memsize", "hw.pagesize", "machdep.cpu.brand_string", "kern.hostname")
_FACT_NAMES = (
    *_NAMES,
    *("kern.osrelease", "kern.hv_vmm_present", "vm.swapusage"),
    *_LEVELS,
    *(f"hw.optional.{name}" for name in VECTOR_INSTRUCTIONS),
)
_FACT_COMMANDS = {
    "sysctl": f"sysctl {' '.join(_FACT_NAMES)}",  # one that is unknown does not stop the others
    "sw_vers": "sw_vers",
    "battery": "pmset -g batt",
}
_CONDITION_COMMANDS = {
    "sysctl": "sysctl hw.ncpu vm.loadavg",
    "memory": "vm_stat",
    "battery": "pmset -g batt",
    "thermal": "pmset -g therm",
    "load": "top -l 2 -n 0 -s 1",
}

Texts = Mapping[str, str]
Values = dict[str, Any]


def read_mac_facts(connection: Connection) -> tuple[Values, dict[str, str]]:
    """Return a Mac's facts, and the reasons for those that are None."""
    return mac_facts_from(_texts(connection, _FACT_COMMANDS))


def read_mac_conditions(connection: Connection) -> Values:
    """Return a Mac's conditions by their names in `Conditions`; takes about a second, as load needs two looks."""
    return mac_conditions_from(_texts(connection, _CONDITION_COMMANDS))


def mac_facts_from(texts: Texts) -> tuple[Values, dict[str, str]]:
    """Derive the facts from what the commands print."""
    told = _sysctl(texts)
    readers: dict[str, Callable[[], Any]] = {
        "host_name": lambda: _value(told, "kern.hostname"),
        "model": lambda: _value(told, "hw.model"),
        "architecture": lambda: "arm64",
        "processor": lambda: _value(told, "machdep.cpu.brand_string"),
        "vector_instructions": lambda: [
            called for name, called in VECTOR_INSTRUCTIONS.items() if told.get(f"hw.optional.{name}") == "1"
        ],
        "cores": lambda: int(_value(told, "hw.ncpu")),
        "core_kinds": lambda: _core_kinds(told),
        "is_virtual_machine": lambda: _value(told, "kern.hv_vmm_present") == "1",
        "frequency_max_mhz": lambda: _untold("macOS tells no frequencies"),
        "caches": lambda: _caches(told),
        "memory_bytes": lambda: int(_value(told, "hw.memsize")),
        "swap_bytes": lambda: _swap_bytes(_value(told, "vm.swapusage")),
        "page_bytes": lambda: int(_value(told, "hw.pagesize")),
        "system": lambda: _system(texts.get("sw_vers", "")),
        "kernel": lambda: _value(told, "kern.osrelease"),
        "has_battery": lambda: "InternalBattery" in _printed(texts, "battery"),
    }
    values: Values = {}
    reasons: dict[str, str] = {}
    for name, reader in readers.items():
        try:
            values[name] = reader()
        except ValueError as error:
            values[name], reasons[name] = None, str(error)
    return values, reasons


def mac_conditions_from(texts: Texts) -> Values:
    """Derive the conditions from what the commands print; None where they do not tell. Temperature needs root."""
    told, battery = _sysctl(texts), texts.get("battery", "")
    cores = int(told["hw.ncpu"]) if told.get("hw.ncpu", "").isdigit() else None
    idle = re.findall(r"^CPU usage:.*?([\d.]+)% idle", texts.get("load", ""), re.MULTILINE)
    has_battery = "InternalBattery" in battery
    return {
        "temperature_c": None,
        "cores": cores,
        "busy_cores": cores * (1 - float(idle[-1]) / 100) if cores and idle else None,
        "load_average": _number(r"([\d.]+)", told.get("vm.loadavg", "")),
        "available_bytes": _available_bytes(texts.get("memory", "")),
        "battery_percent": _whole(r"InternalBattery\S*.*?\s(\d+)%", battery),
        "is_discharging": "'Battery Power'" in battery if has_battery else None,
        "clocks_mhz": (),
        "out_of_memory_kills": None,
        "speed_limit_percent": _whole(r"CPU_Speed_Limit\s*=\s*(\d+)", texts.get("thermal", "")),
    }


def _texts(connection: Connection, commands: Mapping[str, str]) -> dict[str, str]:
    script = "\n".join(f"echo '{_MARK}{name}'; {command} 2>/dev/null" for name, command in commands.items())
    lines = connection.run(["sh", "-c", script], _LIMITS, threading.Event()).lines
    texts: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(_MARK):
            texts[line.removeprefix(_MARK)] = []
        elif texts:
            texts[next(reversed(texts))].append(line)
    return {name: "\n".join(printed) for name, printed in texts.items()}


def _sysctl(texts: Texts) -> dict[str, str]:
    return dict(re.findall(r"^([\w.]+): (.+)$", texts.get("sysctl", ""), re.MULTILINE))


def _value(told: Mapping[str, str], name: str) -> str:
    return told[name] if name in told else _untold(f"sysctl {name} does not answer")


def _printed(texts: Texts, name: str) -> str:
    return texts.get(name) or _untold(f"{_FACT_COMMANDS[name]} does not answer")


def _untold(why: str) -> str:
    raise ValueError(why)


def _core_kinds(told: Mapping[str, str]) -> dict[str, int]:
    """Return how many cores there are of each kind, the fastest kind first."""
    levels = [f"hw.perflevel{level}" for level in (0, 1) if f"hw.perflevel{level}.name" in told]
    if not levels:
        _untold("sysctl tells no hw.perflevel")
    return {told[f"{level}.name"]: int(_value(told, f"{level}.physicalcpu")) for level in levels}


def _caches(told: Mapping[str, str]) -> dict[str, str]:
    names = {"L1 data": "l1dcachesize", "L1 instruction": "l1icachesize", "L2 unified": "l2cachesize"}
    sizes = {called: int(_value(told, f"hw.perflevel0.{name}")) for called, name in names.items()}
    return {called: f"{size // 1024}K" for called, size in sizes.items()}


def _swap_bytes(text: str) -> int:
    found = re.search(r"total = ([\d.]+)M", text)
    return int(float(found[1] if found else _untold(f"no total in {text!r}")) * (1 << 20))


def _system(text: str) -> str:
    told = dict(re.findall(r"^(\w+):\s*(.+?)\s*$", text, re.MULTILINE))
    if "ProductVersion" not in told:
        _untold("sw_vers does not answer")
    return f"{told.get('ProductName', 'macOS')} {told['ProductVersion']} ({told.get('BuildVersion', '?')})"


def _available_bytes(vm_stat: str) -> int | None:
    page_bytes = _whole(r"page size of (\d+) bytes", vm_stat)
    free, inactive = (_whole(rf"^Pages {kind}:\s*(\d+)\.", vm_stat) for kind in ("free", "inactive"))
    if page_bytes is None or free is None or inactive is None:
        return None
    return (free + inactive) * page_bytes


def _number(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text, re.MULTILINE)
    return float(found[1]) if found else None


def _whole(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text, re.MULTILINE)
    return int(found[1]) if found else None
