"""An emulated machine behind a real sshd: an aarch64 root of its own, run by proot and qemu without any rights.

Its shell and commands are aarch64 programs (busybox), and it holds nothing but them. Times and memory mean nothing
there.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devices.glibc_folder import GlibcFolder
from tests.devices.shared_supplies import busybox
from tests.devices.sshd import Sshd, a_running_sshd

COMMANDS = "sh mkdir cat mv rm ls kill sha256sum cut sed uname env chmod sleep dd stty touch df"
CORES = {0: ("0xd05", 1_800_000, 300), 1: ("0xd05", 1_800_000, 300), 2: ("0xd41", 2_600_000, 1024)}
"""Part, highest frequency and capacity: two small cores and a big one."""

_CPUINFO = """processor\t: {core}
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: {part}
CPU revision\t: 0

"""

_LOGIN = """#!/bin/sh
exec env -i HOME={home} PATH=/bin PROOT_TMP_DIR={folder} \\
    {proot} -q {qemu} -r {folder}/root -b /proc -b /dev -b {folder}/cpuinfo:/proc/cpuinfo -w / \\
    /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""


@contextmanager
def an_emulated_phone(folder: Path) -> Iterator[Sshd]:
    """A root as bare as Android's, without any glibc, that says of itself that it is Android."""
    root = _bare_root(folder)
    _script(root / "bin" / "getprop", 'if [ "$1" = ro.build.version.release ]; then echo 15; fi')
    with _behind_sshd(folder, home="/") as server:
        yield server


@contextmanager
def an_emulated_board(folder: Path, glibc: GlibcFolder) -> Iterator[Sshd]:
    """A root with a glibc at its usual place, as on an ARM board or laptop with Linux."""
    root = _bare_root(folder)
    shutil.copytree(glibc.path, root / "lib")
    (root / "lib" / glibc.loader).chmod(0o755)
    with _behind_sshd(folder, home="/home/user") as server:
        yield server


@contextmanager
def an_emulated_board_that_hides_its_glibc(folder: Path) -> Iterator[Sshd]:
    """A root that says it has glibc and has none where programs look for it, as NixOS."""
    root = _bare_root(folder)
    _script(
        root / "bin" / "getconf", 'if [ "$1" = GNU_LIBC_VERSION ]; then echo glibc 2.39; else echo 64; fi'
    )
    with _behind_sshd(folder, home="/home/user") as server:
        yield server


@contextmanager
def _behind_sshd(folder: Path, home: str) -> Iterator[Sshd]:
    for program, package in (("proot", "proot"), ("qemu-aarch64-static", "qemu-user-static")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt install {package}")
    login, proot, qemu = folder / "login", shutil.which("proot"), shutil.which("qemu-aarch64-static")
    login.write_text(_LOGIN.format(home=home, folder=folder, proot=proot, qemu=qemu))
    login.chmod(0o755)
    with a_running_sshd(folder / "sshd", settings=f"ForceCommand {login}\n") as server:
        yield server


def _bare_root(folder: Path) -> Path:
    root = folder / "root"
    for name in ("bin", "proc", "sys", "dev", "etc", "tmp", "data/local/tmp", "home/user"):
        (root / name).mkdir(parents=True, exist_ok=True)
    busybox(root / "bin").chmod(0o755)
    for command in COMMANDS.split():
        (root / "bin" / command).symlink_to("busybox")
    _describe_processors(folder)
    return root


def _describe_processors(folder: Path) -> None:
    """ONNX Runtime ends with a signal where it finds no ARM processor described."""
    cpuinfo = "".join(_CPUINFO.format(core=core, part=part) for core, (part, _, _) in CORES.items())
    (folder / "cpuinfo").write_text(cpuinfo)
    cpus = folder / "root" / "sys" / "devices" / "system" / "cpu"
    for core, (_, frequency_khz, capacity) in CORES.items():
        (cpus / f"cpu{core}" / "cpufreq").mkdir(parents=True, exist_ok=True)
        (cpus / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq").write_text(f"{frequency_khz}\n")
        (cpus / f"cpu{core}" / "cpu_capacity").write_text(f"{capacity}\n")
    for name in ("possible", "present", "online"):
        (cpus / name).write_text(f"0-{len(CORES) - 1}\n")


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
