"""Runs the demo in an empty data folder and watches its wall time and the memory of all its processes."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY_S = 0.5
PORT = 8790


@dataclass(frozen=True)
class DemoFigures:
    """What a whole demo cost: wall seconds, and the largest sum of resident bytes over its processes."""

    wall_s: float
    peak_resident_bytes: int

    def lines(self) -> list[str]:
        """Return the figures as text, each beside its bound."""
        return [
            f"wall time     {self.wall_s / 60:6.1f} min   bound 10 min",
            f"peak memory   {self.peak_resident_bytes / 2**30:6.2f} GiB   all processes, shared pages counted more "
            "than once; bound 4 GiB",
        ]


def measure_demo() -> DemoFigures:
    """Run `loopfront demo` to its end; raise CalledProcessError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "service.cli", "demo", "--data-folder", folder, "--port", str(PORT)]
        started, peak = time.monotonic(), 0
        with subprocess.Popen(command) as demo:
            while demo.poll() is None:
                peak = max(peak, _resident_bytes(_family(demo.pid)))
                time.sleep(LOOK_EVERY_S)
        if demo.returncode:
            raise subprocess.CalledProcessError(demo.returncode, command)
        return DemoFigures(time.monotonic() - started, peak)


def _family(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(_parent(entry), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        found.append(process := waiting.pop())
        waiting += children.get(process, [])
    return found


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _resident_bytes(processes: list[int]) -> int:
    total = 0
    for process in processes:
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096
        except OSError:
            continue
    return total
