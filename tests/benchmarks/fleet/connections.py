"""Measures the same candidates through each connection: it must add nothing to the times."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, stdev

from devices.adb import AdbConnection
from devices.bench import Bench, local_bench, remote_bench
from devices.outcome import Measured, PhaseSamples
from devices.plan import SentinelReference
from devices.readiness import Thresholds
from devices.ssh import SshConnection
from devices.summary import student_t, summarise
from tests.benchmarks.fleet.candidates import Candidates
from tests.benchmarks.fleet.rounds import decode, prefill
from tests.benchmarks.fleet.taking import Taken, Taker
from tests.benchmarks.fleet.text_table import lines, percent
from tests.devices import adbd, sshd

LOCAL = "local"
REPEATS = 2


@contextmanager
def over_nothing(folder: Path, thresholds: Thresholds) -> Iterator[Bench]:
    """Give this machine as it is."""
    yield local_bench(folder / LOCAL, thresholds)


@contextmanager
def over_ssh(folder: Path, thresholds: Thresholds) -> Iterator[Bench]:
    """Give this machine through a real sshd of our own."""
    with sshd.a_running_sshd(folder / "sshd") as server:
        connection = SshConnection(server.host)
        try:
            yield remote_bench(connection, folder / LOCAL, thresholds, str(folder / "over-ssh"))
        finally:
            connection.close()


@contextmanager
def over_adb(folder: Path, thresholds: Thresholds) -> Iterator[Bench]:
    """Give this machine as a simulated phone, through the real adb client and server."""
    with adbd.a_private_server(folder / "adb") as server, adbd.a_phone(folder / "phone", server) as phone:
        connection = AdbConnection(phone.serial, server)
        yield remote_bench(connection, folder / LOCAL, thresholds, str(folder / "over-adb"))


Opened = Callable[[Path, Thresholds], AbstractContextManager[Bench]]
CONNECTIONS: dict[str, Opened] = {LOCAL: over_nothing, "ssh": over_ssh, "adb": over_adb}
NEEDED = {"ssh": sshd.PROGRAM, "adb": adbd.PROGRAM}
"""The program without which a connection is left out, and said to be."""


@dataclass(frozen=True)
class Compared:
    """Measurements by connection, in one order of candidates and repeats."""

    taken: Mapping[str, Sequence[Taken]]

    def ratios(self, name: str, read: Callable[[Measured], float]) -> list[float]:
        """Return the logarithm of each value over that through no connection."""
        pairs = zip(self.taken[name], self.taken[LOCAL], strict=True)
        return [
            math.log(read(one.measured) / read(other.measured))
            for one, other in pairs
            if one.is_measured and other.is_measured
        ]


def measure_connections(
    candidates: Candidates,
    taker: Taker,
    folder: Path,
    thresholds: Thresholds,
    reference: SentinelReference,
    count: int,
) -> Compared:
    """Measure each candidate twice through every connection, which take turns."""
    chosen = candidates.all[:count]
    with ExitStack() as stack:
        benches = {
            name: stack.enter_context(opened(folder, thresholds))
            for name, opened in CONNECTIONS.items()
            if name not in left_out()
        }
        found: dict[str, list[Taken]] = {name: [] for name in benches}
        for turn, each in enumerate([each for each in chosen for _ in range(REPEATS)]):
            for name in _rotated(list(benches), turn):
                key = f"connections/{name}/{each.name}-{turn % REPEATS + 1}"
                found[name].append(taker.take(key, each.calibrated(reference), benches[name]))
    return Compared(found)


def left_out() -> list[str]:
    """Name the connections whose program isn't installed."""
    return [name for name, program in NEEDED.items() if program is None]


def _rotated(names: Sequence[str], turn: int) -> list[str]:
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def table(found: Compared) -> list[str]:
    """Return every connection's times over the local ones, with 95 % intervals, and what it costs in wall time."""
    reads = {
        f"{phase.__name__} {kind}": _reader(phase, kind == "paired")
        for phase in (prefill, decode)
        for kind in ("paired", "raw")
    }
    rows = [
        [name, *(interval(found.ratios(name, read)) for read in reads.values()), *_wall(found, name)]
        for name in found.taken
    ]
    head = ("over local", *reads, "wall s", "added s")
    notes = [f"left out, as it isn't installed: {name}" for name in left_out()]
    return lines(f"connections, {len(found.taken[LOCAL])} measurements through each", head, rows, notes)


def interval(logs: Sequence[float]) -> str:
    """Write a mean ratio with its 95 % interval, both as per cent off 1."""
    if len(logs) < 2:
        return ""
    half = student_t(0.975, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    return f"{percent(math.expm1(fmean(logs)), 2)} ± {percent(math.expm1(half), 2)}"


def _wall(found: Compared, name: str) -> list[str]:
    own, local = (
        [each.measured.seconds for each in found.taken[one] if each.is_measured] for one in (name, LOCAL)
    )
    pairs = zip(found.taken[name], found.taken[LOCAL], strict=True)
    added = [a.measured.seconds - b.measured.seconds for a, b in pairs if a.is_measured and b.is_measured]
    return [f"{median(own):.2f}", f"{median(added):+.2f}"] if own and local else ["", ""]


def _reader(phase: Callable[[Measured], PhaseSamples], is_paired: bool) -> Callable[[Measured], float]:
    def read(measured: Measured) -> float:
        summary = summarise(phase(measured))
        return summary.ratio_median if is_paired else summary.raw_p50_ms

    return read
