"""`loopfront up` as a real process: killed, started again, refused, stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import loopfront, one_line, port_of, up
from serving import SimulatedWorker, a_small_study, an_owners_client, wait_for_end

from service.data_folder import DataFolderLock, find_running
from service.up import bind


def test_killed_with_9_in_the_middle_a_study_goes_on_and_loses_no_measurement(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with up(folder) as process:
        port = port_of(folder)
        client = an_owners_client(f"http://127.0.0.1:{port}")
        worker = SimulatedWorker(client.url, pause_s=0.3)
        with worker:
            client.submit_study(a_small_study(trials=5))
            while len(worker.served) < 3:
                time.sleep(0.05)
            process.kill()
            process.wait()
            with up(folder, port):
                assert wait_for_end(client, "small", 90) == "finished"
                trials = client.trials("small")
                logs = [client.job_log(job_id) for job_id in set(worker.jobs)]
        client.close()
    assert [trial.state for trial in trials] == ["measured"] * 6
    assert len(set(worker.served)) == 7
    assert len(worker.served) <= 8, "at most what was under way was measured again"
    assert all(log.state == "done" for log in logs)


def test_it_listens_in_a_way_that_lets_small_answers_go_out_at_once() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY for nothing else"


def test_a_port_in_use_is_one_line_that_names_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = loopfront("up", "--data-folder", str(tmp_path / "data"), "--port", port)
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in one_line(done.stderr)
    assert "--port" in done.stderr
    assert not (tmp_path / "data").exists(), "nothing was begun"


def test_a_data_folder_in_use_is_one_line_that_says_where_it_is_served(tmp_path: Path) -> None:
    with up(tmp_path / "data") as process:
        done = loopfront("up", "--no-agent", "--data-folder", str(tmp_path / "data"), "--port", "0")
        assert done.returncode == 1
        assert f"process {process.pid}" in one_line(done.stderr)


def test_a_quiet_lock_that_cannot_be_opened_is_one_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lock = str(tmp_path / "file" / "lock")
    folder = str(tmp_path / "data")
    done = loopfront("up", "--no-agent", "--data-folder", folder, "--port", "0", LOOPFRONT_QUIET_LOCK=lock)
    assert done.returncode == 1
    assert lock in one_line(done.stderr)
    assert "LOOPFRONT_QUIET_LOCK" in done.stderr


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = loopfront("up", "--no-agent", "--data-folder", str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert "--data-folder" in one_line(done.stderr)


def test_a_missing_compiler_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "cc").write_text("#!/bin/sh\necho no compiler >&2\necho here >&2\nexit 1\n")
    (broken / "cc").chmod(0o755)
    (broken / "ziglang.py").write_text("raise SystemExit('nor here')\n")
    path = os.pathsep.join([str(broken), *sys.path])
    done = loopfront(
        "up", "--data-folder", str(tmp_path / "data"), "--port", "0", PATH=str(broken), PYTHONPATH=path
    )
    assert done.returncode == 1
    assert "install one" in one_line(done.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_in_order_when_asked_to(tmp_path: Path, number: signal.Signals) -> None:
    with up(tmp_path / "data") as process:
        process.send_signal(number)
        assert process.wait(20) == 0
        assert find_running(tmp_path / "data", 0) is None


def test_an_announcement_of_a_dead_service_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "service.lock").touch()
    (tmp_path / "service.json").write_text(
        json.dumps({"pid": 1, "host": "127.0.0.1", "port": 9, "version": "1"})
    )
    assert find_running(tmp_path, 0) is None
    lock = DataFolderLock(tmp_path)
    lock.acquire()
    lock.release()


def test_a_database_that_cannot_be_read_is_one_line_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "loopfront.sqlite"
    file.write_bytes(b"no database at all " * 100)
    done = loopfront("up", "--no-agent", "--data-folder", str(tmp_path), "--port", "0")
    assert done.returncode == 1
    assert str(file) in one_line(done.stderr)
    assert "move it away" in done.stderr
    assert file.read_bytes().startswith(b"no database"), "it is left as it is"


def test_a_data_folder_with_a_question_mark_in_its_name_holds_its_database(tmp_path: Path) -> None:
    folder = tmp_path / "what?x=1"
    with up(folder):
        assert (folder / "loopfront.sqlite").is_file()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["what?x=1"]


def test_a_user_without_a_home_folder_is_told_how_to_name_one() -> None:
    code = "import os; from service.cli import main; os.setuid(54321); main()"
    command = [sys.executable, "-c", code, "up", "--no-agent"]
    env = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_DATA_HOME"}}
    if os.getuid() != 0:
        pytest.skip("only root can become a user without a home folder")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.returncode == 2
    assert "--data-folder" in one_line(done.stderr)


def test_bad_input_and_an_absent_service_have_their_own_exit_codes(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(a_small_study().replace("trials:", "trails:"))
    with up(tmp_path / "data"):
        folder = str(tmp_path / "data")
        bad = loopfront("study", "submit", str(file), "--data-folder", folder)
        assert (bad.returncode, bad.stdout) == (2, "")
        assert "did you mean 'trials'?" in one_line(bad.stderr)
        absent = loopfront("study", "show", "nothing", "--data-folder", folder)
        assert absent.returncode == 2
        assert json.loads(loopfront("study", "list", "--json", "--data-folder", folder).stdout) == []
    missing = loopfront("study", "submit", str(tmp_path / "none.yaml"))
    assert missing.returncode == 2
    away = loopfront("study", "list", "--url", "http://127.0.0.1:9")
    assert away.returncode == 1
    assert "loopfront up" in one_line(away.stderr)


def test_help_does_not_load_torch() -> None:
    code = "import sys, service.cli; sys.exit('torch' in sys.modules or 'sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
