"""The quiet lock: one holder per host, whoever holds it, however it ends."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from devices.errors import MeasurementStopped, QuietLockUnusable
from devices.quiet import quiet_host, quiet_lock_path

HOLD = "import sys, time; from pathlib import Path; from devices.quiet import quiet_host\n"
HOLD += "with quiet_host(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_another_process_that_holds_the_lock_is_waited_for_even_if_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        threading.Timer(0.4, holder.kill).start()
        started_s = time.monotonic()
        with quiet_host(path):
            assert time.monotonic() - started_s > 0.3


def test_waiting_ends_when_asked_to_stop_and_the_lock_is_left_free(tmp_path: Path) -> None:
    path, stop = tmp_path / "lock", threading.Event()
    with quiet_host(path):
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(MeasurementStopped), quiet_host(path, stop):
            pass
    with quiet_host(path):
        pass


def test_threads_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    inside, most = [], []

    def hold() -> None:
        with quiet_host(tmp_path / "lock"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=hold) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1


def test_agent_and_service_of_one_user_find_the_same_lock() -> None:
    code = "from devices.quiet import quiet_lock_path; print(quiet_lock_path())"
    for settings, expected in (
        ({"LOOPFRONT_QUIET_LOCK": "/a/lock", "XDG_RUNTIME_DIR": "/run/user/1"}, "/a/lock"),
        ({"LOOPFRONT_QUIET_LOCK": "", "XDG_RUNTIME_DIR": "/run/user/1"}, "/run/user/1/loopfront-quiet.lock"),
        (
            {"LOOPFRONT_QUIET_LOCK": "", "XDG_RUNTIME_DIR": "", "TMPDIR": "/tmp"},
            f"/tmp/loopfront-{os.getuid()}/loopfront-quiet.lock",
        ),
    ):
        environment = {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected
    assert quiet_lock_path().name.endswith("lock")


def test_a_lock_file_that_cannot_be_opened_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "lock"
    with pytest.raises(QuietLockUnusable, match=f"{path}.*LOOPFRONT_QUIET_LOCK"), quiet_host(path):
        pass
