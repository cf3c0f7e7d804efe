"""What a device is: processor, memory, system and limits, or why that cannot be read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from devices.android_facts import COMMANDS, android_readers
from devices.connection import Connection
from devices.device_files import ask, read_files
from devices.macos import read_mac_facts

_CPU = "/sys/devices/system/cpu"
_POWER = "/sys/class/power_supply"
_FILES = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/hostname",
    "/etc/os-release",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/cpu.max",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/devices/virtual/dmi/id/product_name",
    f"{_CPU}/online",
    f"{_CPU}/intel_pstate/no_turbo",
    f"{_CPU}/cpufreq/boost",
    f"{_CPU}/cpu*/cpufreq/cpuinfo_max_freq",
    f"{_CPU}/cpu*/cpufreq/scaling_governor",
    f"{_CPU}/cpu*/cpu_capacity",
    f"{_CPU}/cpu0/cache/index*/size",
    f"{_CPU}/cpu0/cache/index*/level",
    f"{_CPU}/cpu0/cache/index*/type",
    "/sys/class/thermal/thermal_zone*/type",
    f"{_POWER}/*/type",
)

VECTOR_INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "amx_int8": "AMX int8",
    "asimd": "NEON",
    "asimddp": "NEON dot product",
    "i8mm": "I8MM",
    "sve": "SVE",
    "sme": "SME",
}
"""What the runtime chooses its kernels by, as /proc/cpuinfo spells it; it is worth a factor of two."""

Files = Mapping[str, str]


class _Unreadable(Exception):
    """A fact that this device does not tell; the message says why."""


@dataclass(frozen=True)
class DeviceFacts:
    """Facts by name; an unreadable one is None and has its reason in `reasons`."""

    values: Mapping[str, Any]
    reasons: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Write the facts as plain JSON values, the reasons under `unreadable`."""
        return {**self.values, "unreadable": dict(self.reasons)}


def read_facts(connection: Connection) -> DeviceFacts:
    """Read everything about a device that does not change from one measurement to the next."""
    files = read_files(connection, _FILES, COMMANDS)
    if not files and ask(connection, "uname", "-s") == "Darwin":
        return DeviceFacts(*read_mac_facts(connection))
    answers = {"machine": ask(connection, "uname", "-m"), "page": ask(connection, "getconf", "PAGESIZE")}
    return facts_from(files, answers)


def facts_from(files: Files, answers: Mapping[str, str | None]) -> DeviceFacts:
    """Derive the facts from the texts of files, by path, and the answers of commands."""
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    readers: dict[str, Callable[[], Any]] = {
        "host_name": lambda: _text(files, "/proc/sys/kernel/hostname"),
        "model": lambda: _text(files, "/sys/devices/virtual/dmi/id/product_name"),
        "architecture": lambda: _answer(answers["machine"], "uname -m"),
        "processor": lambda: _processor(files),
        "vector_instructions": lambda: _vector_instructions(files),
        "cores": lambda: len(re.findall(r"^processor\s*:", _text(files, "/proc/cpuinfo"), re.MULTILINE)),
        "is_virtual_machine": lambda: "hypervisor" in _cpuinfo(files, "flags").split(),
        "frequency_max_mhz": lambda: _frequencies_mhz(files),
        "core_capacities": lambda: [int(text) for text in _matching(files, rf"{_CPU}/cpu\d+/cpu_capacity")],
        "governors": lambda: sorted(set(_matching(files, rf"{_CPU}/cpu\d+/cpufreq/scaling_governor"))),
        "turbo": lambda: _turbo(files),
        "caches": lambda: _caches(files),
        "memory_bytes": lambda: _meminfo_bytes(files, "MemTotal"),
        "swap_bytes": lambda: _meminfo_bytes(files, "SwapTotal"),
        "memory_limit_bytes": lambda: _memory_limit_bytes(files),
        "processor_limit_cores": lambda: _processor_limit_cores(files),
        "page_bytes": lambda: int(_answer(answers["page"], "getconf PAGESIZE")),
        "huge_pages": lambda: _chosen(_text(files, "/sys/kernel/mm/transparent_hugepage/enabled")),
        "system": lambda: _system(files),
        "kernel": lambda: _text(files, "/proc/sys/kernel/osrelease"),
        "thermal_zones": lambda: sorted(_matching(files, r"/sys/class/thermal/thermal_zone\d+/type")),
        "has_battery": lambda: "Battery" in _matching(files, rf"{_POWER}/[^/]+/type"),
    }
    readers |= android_readers(files)
    for name, reader in readers.items():
        try:
            values[name] = reader()
        except (_Unreadable, ValueError) as error:
            values[name], reasons[name] = None, str(error)
    return DeviceFacts(values, reasons)


def _text(files: Files, path: str) -> str:
    if not files.get(path):
        raise _Unreadable(f"{path} is missing or unreadable")
    return files[path]


def _answer(answer: str | None, command: str) -> str:
    if answer is None:
        raise _Unreadable(f"{command} does not answer")
    return answer


def _matching(files: Files, pattern: str) -> list[str]:
    paths = [path for path in files if re.fullmatch(pattern, path)]
    if not paths:
        raise _Unreadable(f"no file matches {pattern}")
    return [files[path] for path in sorted(paths, key=_by_number)]


def _by_number(path: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path))


def _cpuinfo(files: Files, key: str) -> str:
    found = re.search(rf"^{key}\s*:\s*(.+)$", _text(files, "/proc/cpuinfo"), re.MULTILINE)
    if found is None:
        raise _Unreadable(f"/proc/cpuinfo has no {key!r}")
    return found.group(1).strip()


def _processor(files: Files) -> str:
    try:
        return _cpuinfo(files, "model name")
    except _Unreadable:
        # ARM names no model but a part number per core, such as 0xd41 for a Cortex-A78.
        parts = sorted(set(re.findall(r"^CPU part\s*:\s*(\S+)", _text(files, "/proc/cpuinfo"), re.MULTILINE)))
        if not parts:
            raise
        return f"{_cpuinfo(files, 'CPU implementer')} {' '.join(parts)}"


def _vector_instructions(files: Files) -> list[str]:
    flags = set(_cpuinfo(files, "(?:flags|Features)").split())
    return [name for flag, name in VECTOR_INSTRUCTIONS.items() if flag in flags]


def _frequencies_mhz(files: Files) -> list[int]:
    return [int(text) // 1000 for text in _matching(files, rf"{_CPU}/cpu\d+/cpufreq/cpuinfo_max_freq")]


def _turbo(files: Files) -> bool:
    if no_turbo := files.get(f"{_CPU}/intel_pstate/no_turbo"):
        return no_turbo == "0"
    return _text(files, f"{_CPU}/cpufreq/boost") == "1"


def _caches(files: Files) -> dict[str, str]:
    folder = rf"{_CPU}/cpu0/cache/index\d+"
    fields = (_matching(files, f"{folder}/{name}") for name in ("level", "type", "size"))
    return {f"L{level} {kind.lower()}": size for level, kind, size in zip(*fields, strict=True)}


def _meminfo_bytes(files: Files, key: str) -> int:
    found = re.search(rf"^{key}:\s*(\d+) kB", _text(files, "/proc/meminfo"), re.MULTILINE)
    if found is None:
        raise _Unreadable(f"/proc/meminfo has no {key}")
    return int(found.group(1)) * 1024


def _memory_limit_bytes(files: Files) -> int:
    text = _text(files, "/sys/fs/cgroup/memory.max")
    if text == "max":
        raise _Unreadable("no limit is set")
    return int(text)


def _processor_limit_cores(files: Files) -> float:
    quota, period = _text(files, "/sys/fs/cgroup/cpu.max").split()
    if quota == "max":
        raise _Unreadable("no limit is set")
    return int(quota) / int(period)


def _chosen(text: str) -> str:
    """Return the choice in brackets, as in `always [madvise] never`."""
    found = re.search(r"\[(\w+)\]", text)
    if found is None:
        raise _Unreadable(f"no choice in {text!r}")
    return found.group(1)


def _system(files: Files) -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', _text(files, "/etc/os-release"), re.MULTILINE)
    if found is None:
        raise _Unreadable("/etc/os-release has no PRETTY_NAME")
    return found.group(1)
