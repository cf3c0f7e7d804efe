"""Measuring over a link that is slow, loses packets, or is cut: real SSH into a network namespace (root only)."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.bench import Bench
from devices.connection import Ending, Limits
from devices.errors import ConnectionFault
from devices.measuring import measure
from devices.outcome import DeviceLost, Measured
from devices.ssh import SshConnection
from tests.devices.namespaces import Namespace, a_machine, require_namespaces
from tests.devices.sshd import Sshd
from tests.devices.test_connection import assert_gone
from tests.devices.test_measuring import ENDLESS, a_plan, graph_of, once_timing
from tests.devices.test_remote_measuring import bench

__all__ = ["bench"]  # a fixture that asks for the server below

SHORT = Limits(deadline_s=60.0, silence_s=60.0)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[Namespace, Sshd]]:
    require_namespaces("iptables")
    with a_machine(tmp_path / "machine") as made:
        yield made


@pytest.fixture
def namespace(machine: tuple[Namespace, Sshd]) -> Namespace:
    return machine[0]


@pytest.fixture
def server(machine: tuple[Namespace, Sshd]) -> Sshd:
    return machine[1]


def test_a_machine_in_a_namespace_has_an_identity_of_its_own(namespace: Namespace, server: Sshd) -> None:
    connection = SshConnection(server.host)
    told = connection.run(["cat", "/etc/machine-id"], SHORT, threading.Event()).lines
    connection.close()
    assert told == (namespace.machine_id_path.read_text().strip(),)
    assert told[0] not in Path("/etc/machine-id").read_text()


def test_a_link_that_is_cut_in_mid_measurement_is_a_lost_device_and_measured_on_when_it_is_mended(
    bench: Bench, namespace: Namespace, tmp_path: Path
) -> None:
    pids: list[int] = []

    def cut(pid: int) -> None:
        pids.append(pid)
        namespace.cut()

    with once_timing(tmp_path / "device", cut):
        outcome = measure(a_plan(protocol=ENDLESS), bench, graph_of())
    assert isinstance(outcome, DeviceLost), outcome
    namespace.mend()
    outcome = measure(a_plan(), bench, graph_of())
    assert isinstance(outcome, Measured), outcome
    assert_gone(pids[0], timeout_s=60)


def test_a_link_that_is_cut_between_two_commands_is_told_and_used_again_once_it_is_mended(
    server: Sshd, namespace: Namespace
) -> None:
    connection = SshConnection(server.host)
    assert connection.run(["true"], SHORT, threading.Event()).ending is Ending.EXITED
    namespace.cut()
    with pytest.raises(ConnectionFault, match=r"was lost|does not answer"):
        connection.run(["true"], SHORT, threading.Event())
    namespace.mend()
    assert connection.run(["echo", "back"], SHORT, threading.Event()).lines == ("back",)
    connection.close()


def test_a_push_over_a_slow_link_arrives_whole_however_long_it_takes(
    server: Sshd, namespace: Namespace, tmp_path: Path
) -> None:
    connection = SshConnection(server.host)
    namespace.limit("4mbit")
    content = bytes(range(256)) * 8000  # 2 MB: at least 4 s
    started_s = time.monotonic()
    connection.push(content, str(tmp_path / "pushed"))
    connection.close()
    assert (tmp_path / "pushed").read_bytes() == content
    assert time.monotonic() - started_s > 3  # the limit was in force


def test_a_candidate_is_measured_over_a_link_that_is_slow_and_loses_every_tenth_packet(
    bench: Bench, namespace: Namespace
) -> None:
    namespace.limit("8mbit")
    namespace.lose(0.1)
    outcome = measure(a_plan(), bench, graph_of())
    assert isinstance(outcome, Measured), outcome
