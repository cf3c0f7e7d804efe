"""Run the `loopfront` command as a user does: as a process of its own, or its main function where many are tried."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path

from serving import know_tokens, owner_of

from service.cli import main
from service.data_folder import find_running

COMMAND = [sys.executable, "-m", "service.cli"]


def loopfront(
    *arguments: str, timeout_s: float = 90, **environment: str
) -> "subprocess.CompletedProcess[str]":
    env = {**token_for(arguments), **os.environ, **environment}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout_s, env=env, check=False
    )


def loopfront_within(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command's main function in this process, which has loaded what a process of its own loads for seconds."""
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv, code = ["loopfront", *arguments], 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = argv
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


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
        know_tokens(running.url, folder)
        yield process
    finally:
        process.kill()
        process.wait()


def token_for(arguments: Sequence[str]) -> dict[str, str]:
    """Give the owner's token of the service that the arguments name, as a user's environment would."""
    named = [after for before, after in pairwise(arguments) if before == "--url"]
    token = owner_of(named[-1]) if named else ""
    return {"LOOPFRONT_TOKEN": token} if token else {}


def port_of(folder: Path) -> int:
    running = find_running(folder)
    assert running is not None
    return running.port


def one_line(stderr: str) -> str:
    lines = stderr.strip().splitlines()
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    return lines[0]
