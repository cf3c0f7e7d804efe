"""What can happen to a machine on the other end of an SSH connection, with a real sshd."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devices.connection import Ending, Limits
from devices.errors import ConnectionFault, HostKeyChanged
from devices.ssh import SshConnection, offered_host_key
from tests.devices.sshd import Sshd, a_running_sshd
from tests.devices.test_connection import assert_gone

PLENTY = Limits(deadline_s=30.0, silence_s=30.0)
BEATING = "echo $$ > {pid}; for i in $(seq 300); do echo beat; sleep 0.1; done"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with a_running_sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def connection(server: Sshd) -> Iterator[SshConnection]:
    made = SshConnection(server.host)
    yield made
    made.close()


def after(seconds: float, call: object) -> None:
    threading.Timer(seconds, call).start()  # type: ignore[arg-type]


def test_a_host_key_is_pinned_with_its_kind(server: Sshd) -> None:
    kind, _, fingerprint = offered_host_key("127.0.0.1", server.port).partition(" ")
    assert kind == "ssh-ed25519"
    assert fingerprint.startswith("SHA256:")
    assert len(fingerprint) == 50


def test_a_changed_host_key_is_refused_and_explained(server: Sshd) -> None:
    host = server.host
    server.stop()
    server.make_host_key()
    server.start()
    with pytest.raises(HostKeyChanged, match=r"shows the host key .* pinned is .* loopfront agent add-ssh"):
        SshConnection(host).run(["true"], PLENTY, threading.Event())


def test_a_key_that_is_not_accepted_is_named(server: Sshd, tmp_path: Path) -> None:
    with a_running_sshd(tmp_path / "other") as other:
        host = replace(server.host, key_path=other.user_key)
        with pytest.raises(ConnectionFault, match=r"does not accept the key .*user_key; add its public half"):
            SshConnection(host).run(["true"], PLENTY, threading.Event())
    with pytest.raises(ConnectionFault, match="missing cannot be used"):
        SshConnection(replace(host, key_path=tmp_path / "missing")).run(["true"], PLENTY, threading.Event())


def test_a_host_that_is_away_is_a_fault_that_names_it(server: Sshd) -> None:
    host = server.host
    server.stop()
    with pytest.raises(ConnectionFault, match=rf"127\.0\.0\.1:{server.port} does not answer"):
        SshConnection(host).run(["true"], PLENTY, threading.Event())


def test_a_connection_that_is_cut_in_mid_command_never_looks_like_its_end(
    server: Sshd, connection: SshConnection, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    after(1.0, server.drop)
    with pytest.raises(ConnectionFault, match="was lost while sh ran"):
        connection.run(["sh", "-c", BEATING.format(pid=pid)], PLENTY, threading.Event())
    assert_gone(int(pid.read_text()))


def test_a_lost_connection_is_made_anew(server: Sshd, connection: SshConnection) -> None:
    assert connection.run(["echo", "1"], PLENTY, threading.Event()).lines == ("1",)
    server.drop()
    deadline_s = time.monotonic() + 10
    while True:
        try:
            assert connection.run(["echo", "2"], PLENTY, threading.Event()).lines == ("2",)
            return
        except ConnectionFault:  # until the transport has noticed
            assert time.monotonic() < deadline_s


def test_a_peer_that_is_silent_but_still_acknowledges_is_noticed_by_its_missing_heartbeat(
    server: Sshd, connection: SshConnection, tmp_path: Path
) -> None:
    limits, started_s = Limits(deadline_s=60.0, silence_s=2.0), time.monotonic()
    command = ["sh", "-c", BEATING.format(pid=tmp_path / "pid")]
    connection.run(["true"], PLENTY, threading.Event())
    with server.frozen(), pytest.raises(ConnectionFault, match="was lost"):
        connection.run(command, limits, threading.Event())
    assert time.monotonic() - started_s < 40


def test_a_command_of_which_nothing_was_ever_heard_is_a_lost_connection(
    server: Sshd, connection: SshConnection
) -> None:
    keys = server.user_key.with_name("authorized_keys")
    keys.write_text(
        f'command="sleep 30" {keys.read_text()}'
    )  # accepts whatever is asked, and runs something else
    with pytest.raises(ConnectionFault, match="was lost: nothing was heard of true"):
        connection.run(["true"], Limits(deadline_s=20.0, silence_s=1.0), threading.Event())


def test_a_server_at_its_maxsessions_is_waited_for_and_then_named(tmp_path: Path) -> None:
    with a_running_sshd(tmp_path / "sshd", max_sessions=1) as server:
        connection, stop = SshConnection(server.host), threading.Event()
        connection.run(["true"], PLENTY, stop)

        def run_long() -> None:
            with contextlib.suppress(ConnectionFault):
                connection.run(["sleep", "60"], PLENTY, stop)

        long_run = threading.Thread(target=run_long)
        long_run.start()
        time.sleep(0.5)
        with pytest.raises(ConnectionFault, match="refuses another session"):
            connection.run(["true"], PLENTY, threading.Event())
        connection.close()
        long_run.join()


def test_a_command_that_a_signal_ends_has_its_negative_status(connection: SshConnection) -> None:
    result = connection.run(["sh", "-c", "kill -9 $$"], PLENTY, threading.Event())
    assert (result.ending, result.status) == (Ending.EXITED, -9)


def test_a_large_file_arrives_whole(connection: SshConnection, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100_000  # 25.6 MB, as a runtime library
    connection.push(content, str(tmp_path / "library.so"))
    assert (tmp_path / "library.so").read_bytes() == content


def test_a_full_disk_is_told_and_nothing_is_left(connection: SshConnection) -> None:
    with pytest.raises(ConnectionFault, match="cannot be written"):
        connection.push(b"x" * 1000, "/dev/full/graph.onnx")


class SlowLine:
    """A line to a server that carries only so much at a time; `stalls_after` bytes nothing moves any more."""

    def __init__(self, port: int, bytes_per_s: int, stalls_after: int | None = None) -> None:
        self._port, self._bytes_per_s, self._stalls_after = port, bytes_per_s, stalls_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._ends: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
                there = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [here, there]
                for ends, rate in (((here, there), self._bytes_per_s), ((there, here), 1 << 30)):
                    threading.Thread(target=self._carry, args=(*ends, rate), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, bytes_per_s: int) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 14):
                carried += len(chunk)
                if bytes_per_s == self._bytes_per_s and carried > (self._stalls_after or 1 << 60):
                    time.sleep(60)
                    return
                target.sendall(chunk)
                time.sleep(len(chunk) / bytes_per_s)


@contextlib.contextmanager
def a_slow_connection(
    server: Sshd, answer_s: float, bytes_per_s: int, stalls_after: int | None = None
) -> Iterator[SshConnection]:
    line = SlowLine(server.port, bytes_per_s, stalls_after)
    connection = SshConnection(replace(server.host, port=line.port), answer_s)
    try:
        yield connection
    finally:
        connection.close()
        line.close()


def test_a_push_may_take_long_over_a_slow_line_as_long_as_it_moves(server: Sshd, tmp_path: Path) -> None:
    content = bytes(range(256)) * 24_000  # 6 MB: more than lies in buffers on the way
    with a_slow_connection(server, answer_s=1.5, bytes_per_s=1_000_000) as connection:
        connection.push(content, str(tmp_path / "library.so"))
    assert (tmp_path / "library.so").read_bytes() == content


def test_a_push_that_no_longer_moves_is_given_up_and_leaves_nothing(server: Sshd, tmp_path: Path) -> None:
    content = bytes(range(256)) * 80_000  # 20 MB: they don't fit into the buffers on the way
    slow = a_slow_connection(server, answer_s=1.5, bytes_per_s=1 << 30, stalls_after=1_000_000)
    with slow as connection, pytest.raises(ConnectionFault, match=r"took nothing for 2 s|was lost"):
        connection.push(content, str(tmp_path / "device" / "library.so"))
    deadline_s = time.monotonic() + 10
    while list((tmp_path / "device").iterdir()):
        assert time.monotonic() < deadline_s, "half a file was left"
        time.sleep(0.05)
