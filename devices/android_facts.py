"""What an Android phone is: its maker's names for it, its processor core by core, its Android."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from devices.android_state import BATTERY, has_battery
from devices.device_files import said

PROPERTIES = ("getprop",)
FREE_SPACE = ("df", "-k", "-P", "/data/local/tmp")
PAGE_SIZES = ("head", "-n", "12", "/proc/self/smaps")
COMMANDS = (PROPERTIES, FREE_SPACE, PAGE_SIZES, BATTERY)

Texts = Mapping[str, str]
Readers = dict[str, Callable[[], Any]]


def properties(printed: str) -> dict[str, str]:
    """Read what `getprop` prints: lines such as ``[ro.product.model]: [Pixel 8]``."""
    return {
        name: value for name, value in re.findall(r"^\[(.+?)\]: \[(.*)\]\r?$", printed, re.MULTILINE) if value
    }


def android_readers(texts: Texts) -> Readers:
    """Return how each fact is read on a phone, none for a machine that runs no Android; each may raise ValueError."""
    told = properties(texts.get(said(*PROPERTIES), ""))
    if "ro.build.version.release" not in told:
        return {}
    cpuinfo = texts.get("/proc/cpuinfo", "")
    return {
        "model": lambda: _model(told),
        "processor": lambda: _processor(told, cpuinfo),
        "core_parts": lambda: _core_parts(cpuinfo),
        "system": lambda: f"Android {told['ro.build.version.release']}",
        "android_sdk": lambda: int(_property(told, "ro.build.version.sdk")),
        "security_patch": lambda: _property(told, "ro.build.version.security_patch"),
        "page_bytes": lambda: _page_bytes(texts),
        "has_battery": lambda: has_battery(texts.get(said(*BATTERY), "")),
        "free_bytes": lambda: _free_bytes(texts.get(said(*FREE_SPACE), "")),
    }


def _property(told: Mapping[str, str], *names: str) -> str:
    for name in names:
        if name in told:
            return told[name]
    raise ValueError(f"getprop does not tell {' or '.join(names)}")


def _model(told: Mapping[str, str]) -> str:
    maker = _property(told, "ro.product.manufacturer")
    model = _property(told, "ro.product.model")
    return model if model.lower().startswith(maker.lower()) else f"{maker} {model}"


def _processor(told: Mapping[str, str], cpuinfo: str) -> str:
    """Name the chip: Android tells it from 12 on; before that, its platform or the kernel's name for it."""
    if "ro.soc.model" in told:
        return " ".join(told[name] for name in ("ro.soc.manufacturer", "ro.soc.model") if name in told)
    hardware = re.search(r"^Hardware\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return hardware.group(1).strip() if hardware else _property(told, "ro.soc.model", "ro.board.platform")


def _core_parts(cpuinfo: str) -> list[str]:
    """Name each core by implementer and part, such as 0x41 0xd05 for an Arm Cortex-A55."""
    implementers = re.findall(r"^CPU implementer\s*:\s*(\S+)", cpuinfo, re.MULTILINE)
    parts = re.findall(r"^CPU part\s*:\s*(\S+)", cpuinfo, re.MULTILINE)
    if not parts or len(parts) != len(implementers):
        raise ValueError("/proc/cpuinfo does not name the parts of its cores")
    return [" ".join(pair) for pair in zip(implementers, parts, strict=True)]


def _page_bytes(texts: Texts) -> int:
    found = re.search(r"^KernelPageSize:\s*(\d+) kB", texts.get(said(*PAGE_SIZES), ""), re.MULTILINE)
    if found is None:
        raise ValueError("/proc/self/smaps has no KernelPageSize")
    return int(found.group(1)) * 1024


def _free_bytes(printed: str) -> int:
    lines = printed.splitlines()
    columns = lines[-1].split() if lines else []
    if len(columns) < 6:
        raise ValueError("df does not tell of /data/local/tmp")
    return int(columns[3]) * 1024
