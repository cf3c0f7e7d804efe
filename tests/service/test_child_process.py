"""Children end with their parent, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from service.child_process import ChildProcess

PARENT = """
import sys, time
from service.child_process import ChildProcess
child = ChildProcess("http.server", ["0", "--bind", "127.0.0.1"])
print(child.pid, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, timeout_s: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


def test_a_child_ends_when_its_parent_is_killed_with_9() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    assert is_alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert wait_until_gone(child)


def test_a_child_that_ignores_the_request_to_end_is_ended_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)\n"
    )
    child = ChildProcess("stubborn", [], {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])})
    time.sleep(1.0)
    assert child.exit_code is None
    child.stop(grace_s=0.5)
    assert child.exit_code == -signal.SIGKILL
