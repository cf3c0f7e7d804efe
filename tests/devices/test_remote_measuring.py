"""Measuring on a machine at the other end of a real SSH connection, and losing it at every step."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devices.bench import Bench, remote_bench
from devices.device_folder import DeviceFolder
from devices.measuring import measure
from devices.outcome import DeviceLost, Measured, OutOfMemory, RunnerFault
from devices.provision import provision_library, provision_runner
from devices.runner.build import BuiltRunner
from devices.runtime_library import installed_runtime
from devices.ssh import SshConnection
from tests.devices.sshd import Sshd, a_running_sshd
from tests.devices.test_connection import assert_gone
from tests.devices.test_measuring import (
    ENDLESS,
    LENIENT,
    a_bench,
    a_check,
    a_plan,
    a_protocol,
    a_script,
    graph_of,
    once_timing,
    runner_pids,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with a_running_sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def bench(server: Sshd, runner: BuiltRunner, tmp_path: Path) -> Iterator[Bench]:
    connection, root = SshConnection(server.host), str(tmp_path / "device")
    yield replace(
        a_bench(provision_runner(connection, root, runner), tmp_path / "device"),
        connection=connection,
        folder=DeviceFolder(connection, root),
        library=provision_library(connection, root, installed_runtime()),
    )
    connection.close()


def test_a_candidate_is_measured_over_ssh_as_it_is_here(bench: Bench, tmp_path: Path) -> None:
    outcome = measure(a_plan(check=a_check(tmp_path / "reference")), bench, graph_of())
    assert isinstance(outcome, Measured), outcome
    assert min(outcome.cosine) > 0.9999
    assert outcome.passport["conditions"]["before"]["cores"] == os.cpu_count()
    assert outcome.passport["runner"]["sha256"] == bench.runner.sha256


def test_a_machine_is_made_ready_once(server: Sshd, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    connection = AtHome(SshConnection(server.host), home)
    first = remote_bench(connection, tmp_path / "cache", LENIENT)  # type: ignore[arg-type]
    pushed = len(connection.pushed)
    again = remote_bench(connection, tmp_path / "cache", LENIENT)  # type: ignore[arg-type]
    assert (pushed, len(connection.pushed)) == (2, 2)  # besides the plans of the trials
    assert (again.runner, again.library) == (first.runner, first.library)
    assert str(first.runner.path).startswith(str(home))
    Path(first.library.path).write_bytes(b"tidied")
    remote_bench(connection, tmp_path / "cache", LENIENT)  # type: ignore[arg-type]
    assert len(connection.pushed) == 3
    assert isinstance(measure(a_plan(), first, graph_of()), Measured)


class AtHome:
    """A connection whose user's home is a folder of the test's; it notes what is pushed."""

    def __init__(self, connection: SshConnection, home: Path) -> None:
        self._connection, self._home = connection, home
        self.pushed: list[str] = []

    def run(self, command: list[str], *limits: object) -> object:
        return self._connection.run(["env", f"HOME={self._home}", *command], *limits)  # type: ignore[arg-type]

    def push(self, content: bytes, path: str) -> None:
        if not path.endswith(".txt"):
            self.pushed.append(path)
        self._connection.push(content, path)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


@pytest.mark.parametrize("loss", ["drop", "stop"])
def test_a_machine_that_goes_away_while_it_times_is_a_lost_device(
    loss: str, bench: Bench, server: Sshd, tmp_path: Path
) -> None:
    pids: list[int] = []

    def lose(pid: int) -> None:
        pids.append(pid)
        getattr(server, loss)()

    with once_timing(tmp_path / "device", lose):
        outcome = measure(a_plan(protocol=ENDLESS), bench, graph_of())
    assert isinstance(outcome, DeviceLost), outcome
    assert '"phase": "decode"' in outcome.log  # what ran until then is kept
    assert_gone(pids[0])  # it writes its heartbeat into a pipe that nobody reads


def test_a_machine_that_goes_away_before_anything_is_pushed_is_a_lost_device(
    bench: Bench, server: Sshd
) -> None:
    server.stop()
    outcome = measure(a_plan(), bench, graph_of())
    assert isinstance(outcome, DeviceLost)
    assert "does not answer" in outcome.reason or "was lost" in outcome.reason


def test_a_machine_that_goes_away_between_the_last_sample_and_done_is_no_success(
    bench: Bench, server: Sshd, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    script = a_script(
        tmp_path, f'echo "{{\\"record\\": \\"hello\\", \\"nonce\\": \\"$nonce\\"}}"; touch {said}; sleep 30'
    )
    with when(said.exists, server.drop):
        outcome = measure(a_plan(), replace(bench, runner=script), graph_of())
    assert isinstance(outcome, DeviceLost), outcome


@contextlib.contextmanager
def when(happens: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            if happens():
                act()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_a_runner_that_is_killed_there_is_a_fault_of_the_runner(bench: Bench, tmp_path: Path) -> None:
    def kill_it(_pid: int) -> None:  # and not the shell that waits for it
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:  # on a busy machine it may still be `env`
            for pid in runner_pids(tmp_path / "device"):
                if Path(f"/proc/{pid}/exe").resolve() == bench.runner.path:
                    os.kill(pid, signal.SIGKILL)
                    return

    with once_timing(tmp_path / "device", kill_it):
        outcome = measure(a_plan(protocol=ENDLESS), bench, graph_of())
    assert isinstance(outcome, RunnerFault), outcome
    assert "signal 9" in outcome.reason


def test_a_candidate_that_exceeds_its_memory_leaves_the_machine_unharmed(bench: Bench) -> None:
    outcome = measure(a_plan(protocol=a_protocol(memory_limit_bytes=30_000_000)), bench, graph_of())
    assert isinstance(outcome, OutOfMemory), outcome
    assert isinstance(measure(a_plan(), bench, graph_of()), Measured)


def test_nothing_runs_on_after_being_asked_to_stop(bench: Bench, tmp_path: Path) -> None:
    stop = threading.Event()
    with once_timing(tmp_path / "device", lambda _pid: stop.set()), contextlib.suppress(Exception):
        measure(a_plan(protocol=ENDLESS), bench, graph_of(), stop)
    assert runner_pids(tmp_path / "device") == []
