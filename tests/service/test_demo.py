"""`loopfront demo` with the real agent and the real runner; needs a core that is mostly idle."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from serving import a_small_study

from service.data_folder import find_running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def demo(folder: Path, study: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "service.cli", "demo", "--data-folder", str(folder), "--port", "0"]
    return subprocess.Popen(
        [*command, "--study", str(study), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def processes_of(folder: Path) -> list[int]:
    """Find every process that was started for a data folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in command:
                found.append(int(entry.name))
    return found


def test_the_demo_measures_repeats_reports_and_leaves_nothing_running(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(a_small_study(trials=4))
    folder = tmp_path / "data"
    output, errors = demo(folder, tmp_path / "small.yaml", "--repeat").communicate(timeout=900)
    assert "Pareto front" in output, errors
    assert "Measured again" in output
    assert (folder / "reports" / "small.html").stat().st_size > 100_000
    assert processes_of(folder) == []
    started = time.monotonic()
    again, _ = demo(folder, tmp_path / "small.yaml").communicate(timeout=120)
    assert "Pareto front" in again
    assert time.monotonic() - started < 60, "the second run reuses everything"


def test_killed_with_9_the_demo_leaves_no_orphan_and_the_next_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(a_small_study(trials=4))
    folder = tmp_path / "data"
    first = demo(folder, tmp_path / "small.yaml")
    assert first.stdout is not None
    for line in first.stdout:
        if line.startswith("enqueued 2"):
            break
    first.kill()
    first.communicate()
    deadline = time.monotonic() + 20
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(folder) == []
    assert find_running(folder, 0) is None
    output, errors = demo(folder, tmp_path / "small.yaml").communicate(timeout=900)
    assert "Pareto front" in output, errors
