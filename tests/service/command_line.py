"""Run the `loopfront` command as a user does: as a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving import TOKENS

from service.agent_token import read_agent_token
from service.data_folder import find_running

COMMAND = [sys.executable, "-m", "service.cli"]


def loopfront(
    *arguments: str, timeout_s: float = 90, **environment: str
) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, **environment}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout_s, env=env, check=False
    )


@contextmanager
def up(folder: Path, port: int = 0, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start `loopfront up` without an agent and wait until it answers."""
    command = [*COMMAND, "up", "--no-agent", "--data-folder", str(folder), "--port", str(port), *options]
    with (folder.parent / "up.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while (running := find_running(folder, 0)) is None or running.pid != process.pid:
            assert process.poll() is None, (folder.parent / "up.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        TOKENS[running.url] = read_agent_token(folder)
        yield process
    finally:
        process.kill()
        process.wait()


def port_of(folder: Path) -> int:
    running = find_running(folder)
    assert running is not None
    return running.port


def one_line(stderr: str) -> str:
    lines = stderr.strip().splitlines()
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    return lines[0]
