"""Network namespaces, each a machine of its own to whoever looks from outside: a link, a machine id, an sshd."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.devices import sshd

_PREFIX = "loopfront"
_NETWORKS = 1 << 15
"""How many networks of four addresses 198.18.0.0/15 has, which RFC 2544 sets aside for benchmarks."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Namespace:
    """One namespace, reached at `address` over a link whose end here is `link`."""

    name: str
    link: str
    address: str
    machine_id_path: Path

    @property
    def within(self) -> tuple[str, ...]:
        """The words that run what follows them in there, where /etc/machine-id is its own."""
        mount = 'mount --bind "$0" /etc/machine-id && exec "$@"'
        return ("ip", "netns", "exec", self.name, "sh", "-c", mount, str(self.machine_id_path))

    def cut(self) -> None:
        """Take the link down."""
        _do("ip", "link", "set", self.link, "down")

    def mend(self) -> None:
        """Take the link up again."""
        _do("ip", "link", "set", self.link, "up")

    def limit(self, rate: str) -> None:
        """Let only so much through in either direction, such as ``8mbit``."""
        shape = ["root", "tbf", "rate", rate, "burst", "32kbit", "latency", "200ms"]
        _do("tc", "qdisc", "add", "dev", self.link, *shape)
        _do("ip", "netns", "exec", self.name, "tc", "qdisc", "add", "dev", "uplink", *shape)

    def lose(self, share: float) -> None:
        """Lose a share of the packets in either direction, at random."""
        for chain in ("INPUT", "OUTPUT"):
            lost = ["-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP"]
            _do("ip", "netns", "exec", self.name, "iptables", "-A", chain, *lost)


def trouble() -> str:
    """Say why there can be no namespaces here; nothing if there can."""
    if os.getuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None or shutil.which("tc") is None:
        return "ip and tc are not installed: apt install iproute2"
    if not Path("/etc/machine-id").exists():
        return "this machine has no /etc/machine-id that another can be mounted over"
    name = f"{_PREFIX}-{os.getpid()}-trial"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    _remove(name)
    return f"network namespaces can't be made: {tried.stderr.strip()}" if tried.returncode else ""


def require_namespaces(*programs: str) -> None:
    """Skip the test, saying why, where there can be no namespaces or a program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if reason := trouble() or (f"not installed: {', '.join(missing)}" if missing else ""):
        pytest.skip(reason)


@contextmanager
def a_namespace(folder: Path, machine_id: str = "") -> Iterator[Namespace]:
    """Make a namespace with a link to here; whatever still runs in it at the end is killed."""
    sweep()
    number = next(_numbers)
    name, link = f"{_PREFIX}-{os.getpid()}-{number}", f"lf{os.getpid()}n{number}"
    folder.mkdir(parents=True, exist_ok=True)
    machine_id_path = folder / "machine-id"
    machine_id_path.write_text((machine_id or uuid.uuid4().hex) + "\n")
    here, there = _addresses(os.getpid() * 64 + number)
    try:
        _do("ip", "netns", "add", name)
        _do("ip", "link", "add", link, "type", "veth", "peer", "name", "uplink", "netns", name)
        _do("ip", "address", "add", f"{here}/30", "dev", link)
        _do("ip", "link", "set", link, "up")
        for words in (
            ["link", "set", "lo", "up"],
            ["address", "add", f"{there}/30", "dev", "uplink"],
            ["link", "set", "uplink", "up"],
        ):
            _do("ip", "-n", name, *words)
        yield Namespace(name, link, there, machine_id_path)
    finally:
        _remove(name)


@contextmanager
def a_machine(folder: Path, machine_id: str = "") -> Iterator[tuple[Namespace, sshd.Sshd]]:
    """Make a namespace with a running sshd in it."""
    with a_namespace(folder, machine_id) as namespace:
        place = (namespace.address, namespace.within)
        with sshd.a_running_sshd(folder / "sshd", place=place) as server:
            yield namespace, server


def sweep() -> None:
    """Remove what a process that was killed left behind; a namespace's name tells whose it is."""
    folder = Path("/run/netns")
    for path in folder.glob(f"{_PREFIX}-*") if folder.exists() else ():
        owner = path.name.split("-")[1]
        if not Path(f"/proc/{owner}").exists():
            _remove(path.name)


def _addresses(number: int) -> tuple[str, str]:
    """Return the two addresses of a network of four."""
    first = (198 << 24) + (18 << 16) + 4 * (number % _NETWORKS)
    return _dotted(first + 1), _dotted(first + 2)


def _dotted(address: int) -> str:
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


def _remove(name: str) -> None:
    """Kill what runs in a namespace and remove it; its end of the link takes ours along."""
    inside = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    for pid in inside.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _do(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
