"""What every connection must do: one suite, run over each implementation."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.adb import AdbConnection
from devices.connection import Connection, Ending, Limits
from devices.errors import ConnectionFault
from devices.local import LocalConnection
from devices.remote_shell import NOT_STARTED, with_file
from devices.ssh import SshConnection
from tests.devices.adbd import a_phone, a_private_server
from tests.devices.shells import tools_of
from tests.devices.sshd import a_running_sshd

PLENTY = Limits(deadline_s=20.0, silence_s=20.0)


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshConnection]:
    with a_running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        connection = SshConnection(server.host)
        yield connection
        connection.close()


@pytest.fixture(scope="module")
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbConnection]:
    folder = tmp_path_factory.mktemp("adb")
    with a_private_server(folder / "server") as server, a_phone(folder / "phone", server) as phone:
        yield AdbConnection(phone.serial, server)


@pytest.fixture(scope="module")
def adb_with_mksh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbConnection]:
    """A phone whose shell is Android's own."""
    folder = tmp_path_factory.mktemp("adb-mksh")
    with a_private_server(folder / "server") as server, a_phone(folder / "phone", server) as phone:
        tools_of("mksh and toybox", folder / "phone" / "bin")
        yield AdbConnection(phone.serial, server)


@pytest.fixture(params=["local", "ssh", "adb", "adb_with_mksh"])
def connection(request: pytest.FixtureRequest) -> Connection:
    made: Connection = (
        LocalConnection() if request.param == "local" else request.getfixturevalue(request.param)
    )
    return made


def test_a_command_returns_its_lines_its_complaints_and_its_status(connection: Connection) -> None:
    result = connection.run(
        ["sh", "-c", "echo one; echo two; echo oh >&2; exit 3"], PLENTY, threading.Event()
    )
    assert (result.ending, result.status) == (Ending.EXITED, 3)
    assert result.lines == ("one", "two")
    assert result.errors == "oh\n"


def test_words_reach_the_command_as_they_are(connection: Connection) -> None:
    words = ["a b", "$(id)", "';'", "*", "naïve"]
    assert connection.run(["printf", "%s\\n", *words], PLENTY, threading.Event()).lines == tuple(words)


@pytest.mark.parametrize("size", [1, 3_000_000])
def test_a_command_reads_what_it_is_given(connection: Connection, size: int) -> None:
    result = connection.run(["wc", "-c"], PLENTY, threading.Event(), b"x" * size)
    assert result.lines == (str(size),)


def test_a_command_that_reads_nothing_of_what_it_is_given_runs_all_the_same(connection: Connection) -> None:
    result = connection.run(["echo", "done"], PLENTY, threading.Event(), b"x" * 3_000_000)
    assert (result.ending, result.lines) == (Ending.EXITED, ("done",))


def test_a_command_is_started_with_a_file_in_one_go(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "not there yet" / "plan.txt"
    given = "first\nlast\n"
    command = with_file(str(path), ["sh", "-c", 'cat "$0"; exit 3', str(path)])
    result = connection.run(command, PLENTY, threading.Event(), given.encode())
    assert (result.status, result.lines) == (3, ("first", "last"))


@pytest.mark.parametrize(("path", "program", "status"), [("/proc/no", "true", 73), ("plan", "/no/such", 127)])
def test_a_command_that_did_not_start_says_so_by_its_status(
    connection: Connection, tmp_path: Path, path: str, program: str, status: int
) -> None:
    command = with_file(str(tmp_path / path), [program])
    assert connection.run(command, PLENTY, threading.Event(), b"x").status == status
    assert status in NOT_STARTED


def test_a_lot_of_output_on_both_streams_does_not_block(connection: Connection) -> None:
    script = "seq 1 100000; seq 1 100000 >&2"
    result = connection.run(["sh", "-c", script], PLENTY, threading.Event())
    assert result.lines[-1] == "100000"
    assert result.errors.endswith("\n100000\n")


@pytest.mark.parametrize(
    ("limits", "script", "ending"),
    [
        (Limits(deadline_s=3.0, silence_s=20.0), "while :; do echo beat; sleep 0.1; done", Ending.DEADLINE),
        (Limits(deadline_s=20.0, silence_s=3.0), "echo once; sleep 30", Ending.SILENCE),
        (PLENTY, 'yes "$(seq 2000)"', Ending.FLOODED),
    ],
)
def test_a_command_is_killed_at_its_limits_with_all_it_started(
    connection: Connection, tmp_path: Path, limits: Limits, script: str, ending: Ending
) -> None:
    child = tmp_path / "child"
    started_s = time.monotonic()
    script = f"sleep 60 & echo $! > {child}; {script}"
    assert connection.run(["sh", "-c", script], limits, threading.Event()).ending is ending
    assert time.monotonic() - started_s < 10
    assert_gone(int(child.read_text()))


def assert_gone(pid: int, timeout_s: float = 5) -> None:
    deadline_s = time.monotonic() + timeout_s
    status = Path(f"/proc/{pid}/stat")
    while status.exists() and ") Z" not in status.read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


BEATING = """
import threading
from devices.connection import Limits
from devices.local import LocalConnection
from devices.remote_shell import NOT_STARTED, with_file
from devices.ssh import SshConnection
from tests.devices.sshd import a_running_sshd
beat = "echo started >&2; for i in $(seq 70); do echo beat; sleep 0.1; done"
limits = Limits(deadline_s=60.0, silence_s=2.0)
print("watching", flush=True)
print(LocalConnection().run(["sh", "-c", beat], limits, threading.Event()).ending.value)
"""


def test_a_command_is_not_blamed_for_a_pause_of_the_one_that_watches_it() -> None:
    with subprocess.Popen([sys.executable, "-c", BEATING], stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "watching\n"
        time.sleep(0.5)
        os.kill(watcher.pid, signal.SIGSTOP)
        time.sleep(4.0)
        os.kill(watcher.pid, signal.SIGCONT)
        assert watcher.stdout.read().strip() == "exited"


def test_a_command_ends_when_asked_to_stop(connection: Connection) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    assert connection.run(["sleep", "30"], PLENTY, stop).ending is Ending.STOPPED


def test_a_command_that_does_not_exist_is_a_fault(connection: Connection) -> None:
    with pytest.raises(ConnectionFault, match="no-such-command"):
        connection.run(["/no-such-command"], PLENTY, threading.Event())


def test_a_file_is_pushed_listed_replaced_and_removed(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "graph.onnx"
    assert connection.names(str(path.parent)) == frozenset()
    for content in (b"first" * 1000, b"second", b""):
        connection.push(content, str(path))
        assert path.read_bytes() == content
    assert connection.names(str(path.parent)) == {"graph.onnx"}
    connection.remove(str(path))
    connection.remove(str(path))
    connection.remove(str(path.parent))
    assert connection.names(str(path.parent.parent)) == frozenset()


def test_a_push_that_cannot_be_written_is_a_fault_and_leaves_nothing(
    connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").write_text("")
    with pytest.raises(ConnectionFault, match="cannot be written"):
        connection.push(b"x", str(tmp_path / "taken"))
    assert {path.name for path in tmp_path.iterdir()} == {"taken"}
