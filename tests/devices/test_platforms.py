"""Which kind of machine a device is, from what real ones answer."""

import pytest

from devices.errors import PlatformUnsupported
from devices.local import LocalConnection
from devices.platforms import (
    PLATFORMS,
    Machine,
    ask_machine,
    machine_from,
    own_glibc,
    own_platform,
    platform_of,
)

LAPTOP = ("system Linux", "architecture x86_64", "android ", "macos ", "bits 64", "home /home/me")


@pytest.mark.parametrize(
    ("lines", "glibc"),
    [
        (("libc glibc 2.36",), (2, 36)),
        (("libc ldd (Ubuntu GLIBC 2.31-0ubuntu9.16) 2.31",), (2, 31)),
        (("libc ldd (GNU libc) 2.17",), (2, 17)),
        (("libc ld.so (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.",), (2, 36)),
        (("libc glibc 2.36", "libc ldd (GNU libc) 2.17"), (2, 36)),
        (("libc musl libc (x86_64)",), None),
        ((), None),
    ],
)
def test_the_glibc_is_read_from_whichever_program_tells_it(
    lines: tuple[str, ...], glibc: tuple[int, int] | None
) -> None:
    machine = machine_from((*LAPTOP, *lines))
    assert machine.glibc == glibc
    assert machine.has_fitting_glibc == (glibc is not None and glibc >= (2, 28))
    assert platform_of(machine).name == "linux-x86_64"


def test_a_glibc_for_programs_of_32_bits_is_none_of_ours() -> None:
    board = ("system Linux", "architecture aarch64", "bits 32", "libc glibc 2.36")
    assert machine_from(board).glibc is None


def test_a_phone_is_linux_with_another_c_library() -> None:
    phone = machine_from(("system Linux", "architecture aarch64", "android 15", "bits 64", "home /"))
    assert platform_of(phone).name == "linux-aarch64"
    assert not phone.has_fitting_glibc
    assert str(phone) == "Linux on aarch64 (Android 15)"


def test_a_mac_is_told_by_its_processor_and_its_version() -> None:
    mac = ("system Darwin", "architecture arm64", "macos 14.5", "bits 64", "home /Users/me")
    assert platform_of(machine_from(mac)).name == "macos-arm64"


@pytest.mark.parametrize(
    ("machine", "complaint"),
    [
        (
            Machine("Linux", "armv7l"),
            r"Linux on armv7l; .* Linux on x86_64, Linux on aarch64, Darwin on arm64",
        ),
        (Machine("Linux", "riscv64", glibc=(2, 36)), r"Linux on riscv64 \(glibc 2\.36\)"),
        (Machine("Darwin", "x86_64", macos="13.6"), r"Darwin on x86_64 \(macOS 13\.6\)"),
        (Machine("Darwin", "arm64", macos="13.6"), "needs macOS 14 or newer"),
        (Machine("MINGW64_NT-10.0", "x86_64"), "MINGW64_NT-10.0 on x86_64"),
        (Machine(None, None), "on Windows, reach WSL2"),
    ],
)
def test_for_another_machine_the_error_says_what_it_is_and_what_would_do(
    machine: Machine, complaint: str
) -> None:
    with pytest.raises(PlatformUnsupported, match=complaint):
        platform_of(machine)


def test_this_machine_tells_of_itself_what_python_knows_of_it() -> None:
    machine = ask_machine(LocalConnection())
    assert PLATFORMS.get((machine.system or "", machine.architecture or "")) == own_platform()
    assert machine.glibc == own_glibc()
