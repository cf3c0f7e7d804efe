"""Which kind of machine a device is, by what it says of itself, and what can be made for that kind."""

import platform
import re
import threading
from dataclasses import dataclass

from devices.connection import Connection, Limits
from devices.errors import PlatformUnsupported

_LIMITS = Limits(deadline_s=20.0, silence_s=20.0)

LEAST_GLIBC = (2, 28)
"""The oldest glibc that ONNX Runtime's wheels run on."""

LEAST_MACOS = 14
"""The oldest macOS that they are made for."""

_ASK = """echo "system $(uname -s 2>/dev/null)"
echo "architecture $(uname -m 2>/dev/null)"
echo "android $(getprop ro.build.version.release 2>/dev/null)"
echo "macos $(sw_vers -productVersion 2>/dev/null)"
echo "bits $(getconf LONG_BIT 2>/dev/null)"
echo "home $HOME"
getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^/libc /'
ldd --version 2>/dev/null | sed 's/^/libc /;q'
for loader in /lib*/ld-linux-aarch64.so.* /lib*/ld-linux-x86-64.so.*; do
  "$loader" --version 2>/dev/null | sed 's/^/libc /;q'
done"""

_GLIBC = re.compile(r"(?:glibc|gnu libc|ld\.so|ldd)\b.*?(\d+)\.(\d+)\.?$", re.IGNORECASE)


@dataclass(frozen=True)
class Platform:
    """A kind of machine that the runner and the runtime exist for; Android is Linux with another C library."""

    name: str
    zig_target: str


PLATFORMS = {
    ("Linux", "x86_64"): Platform("linux-x86_64", "x86_64-linux-gnu.2.28"),
    ("Linux", "aarch64"): Platform("linux-aarch64", "aarch64-linux-gnu.2.28"),
    ("Darwin", "arm64"): Platform("macos-arm64", "aarch64-macos"),
}
"""By what `uname -s` and `uname -m` answer."""


@dataclass(frozen=True)
class Machine:
    """What a device says of itself; None where it does not.

    `glibc` is that of 64-bit programs: where all programs are of 32 bits, ours find none.
    """

    system: str | None
    architecture: str | None
    android: str | None = None
    macos: str | None = None
    glibc: tuple[int, int] | None = None
    home: str | None = None

    @property
    def has_fitting_glibc(self) -> bool:
        """Tell whether the runner and the runtime may start as they are."""
        return self.glibc is not None and self.glibc >= LEAST_GLIBC

    def __str__(self) -> str:
        kind = f"{self.system} on {self.architecture}"
        details = {"Android": self.android, "macOS": self.macos, "glibc": _dotted(self.glibc)}
        known = [f"{name} {value}" for name, value in details.items() if value]
        return f"{kind} ({', '.join(known)})" if known else kind


def ask_machine(connection: Connection) -> Machine:
    """Ask a device which kind of machine it is; raises ConnectionFault if it can't be reached."""
    answer = connection.run(["sh", "-c", _ASK], _LIMITS, threading.Event())
    return machine_from(answer.lines)


def machine_from(lines: tuple[str, ...]) -> Machine:
    """Derive the kind of machine from the lines of its answer."""
    told: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(" ")
        if value.strip():
            told.setdefault(key, value.strip())
    names = ("system", "architecture", "android", "macos", "home")
    return Machine(**{name: told.get(name) for name in names}, glibc=_glibc_in(told))


def platform_of(machine: Machine) -> Platform:
    """Return what can be made for a machine; raises PlatformUnsupported naming what was found and what would do."""
    if machine.system is None:
        raise PlatformUnsupported(
            "the device does not answer `uname` like Linux, Android or macOS; on Windows, reach WSL2 in its place"
        )
    found = PLATFORMS.get((machine.system, machine.architecture or ""))
    if found is None:
        known = ", ".join(f"{system} on {architecture}" for system, architecture in PLATFORMS)
        raise PlatformUnsupported(
            f"the device is {machine}; ONNX Runtime and the runner exist for {known}, Android as Linux"
        )
    macos = re.match(r"\d+", machine.macos or "")
    if macos and int(macos[0]) < LEAST_MACOS:
        raise PlatformUnsupported(f"the device is {machine}; ONNX Runtime needs macOS {LEAST_MACOS} or newer")
    return found


def own_platform() -> Platform | None:
    """Return this machine's platform, if it is one of those."""
    return PLATFORMS.get((platform.system(), platform.machine()))


def own_glibc() -> tuple[int, int] | None:
    """Return the glibc that this machine's compiler builds for."""
    name, version = platform.libc_ver()
    return _numbers(version) if name == "glibc" else None


def _glibc_in(told: dict[str, str]) -> tuple[int, int] | None:
    found = _GLIBC.search(told.get("libc", ""))
    if found is None or told.get("bits") == "32":
        return None
    return int(found[1]), int(found[2])


def _numbers(version: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None


def _dotted(numbers: tuple[int, int] | None) -> str:
    return ".".join(map(str, numbers)) if numbers else ""
