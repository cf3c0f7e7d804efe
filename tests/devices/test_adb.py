"""What can happen between this machine and a phone, with the real adb client and server and a simulated phone."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.adb import AdbConnection, AdbServer, usual_server
from devices.connection import Ending, Limits
from devices.errors import ConfigUnusable, ConnectionFault
from devices.phone_states import SeenPhone
from tests.devices.adbd import Adbd, a_phone, a_private_server, adb, wait_until
from tests.devices.test_connection import assert_gone
from tests.devices.test_ssh import BEATING, after

PLENTY = Limits(deadline_s=30.0, silence_s=30.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    with a_private_server(tmp_path_factory.mktemp("adb")) as running:
        yield running


@pytest.fixture
def phone(server: AdbServer, tmp_path: Path) -> Iterator[Adbd]:
    with a_phone(tmp_path / "phone", server) as connected:
        yield connected


@pytest.fixture
def connection(server: AdbServer, phone: Adbd) -> AdbConnection:
    return AdbConnection(phone.serial, server)


def run(connection: AdbConnection, *command: str) -> tuple[str, ...]:
    return connection.run(command, PLENTY, threading.Event()).lines


@pytest.mark.parametrize("loss", ["drop", "die"])
def test_a_phone_that_is_lost_in_mid_command_never_looks_like_its_end(
    loss: str, phone: Adbd, connection: AdbConnection, tmp_path: Path
) -> None:
    after(1.0, getattr(phone, loss))
    with pytest.raises(ConnectionFault, match=rf"phone {phone.serial} was lost while sh ran"):
        run(connection, "sh", "-c", BEATING.format(pid=tmp_path / "pid"))
    assert_gone(int((tmp_path / "pid").read_text()))


def test_the_adb_program_itself_takes_the_same_loss_for_a_success(server: AdbServer, phone: Adbd) -> None:
    after(1.0, phone.drop)
    command = [server.program, "-P", str(server.port), "-s", phone.serial, "shell", "sleep 30"]
    done = subprocess.run(command, env={**os.environ, **server.environment}, check=False, timeout=20)
    assert done.returncode == 0  # so no status of adb's is believed


def test_a_lost_phone_is_reached_again(phone: Adbd, connection: AdbConnection) -> None:
    assert run(connection, "echo", "1") == ("1",)
    phone.drop()
    assert run(connection, "echo", "2") == ("2",)


def test_a_server_that_another_client_kills_loses_the_command_under_way_and_is_started_again(
    server: AdbServer, phone: Adbd, connection: AdbConnection, tmp_path: Path
) -> None:
    after(1.0, lambda: adb(server, "kill-server"))
    with pytest.raises(ConnectionFault, match="was lost while sh ran"):
        run(connection, "sh", "-c", BEATING.format(pid=tmp_path / "pid"))
    assert_gone(int((tmp_path / "pid").read_text()))
    assert run(connection, "echo", "again") == ("again",)


def test_two_clients_work_side_by_side(server: AdbServer, phone: Adbd, connection: AdbConnection) -> None:
    long_run = threading.Thread(target=lambda: run(connection, "sh", "-c", "seq 200000; sleep 1"))
    long_run.start()
    for number in range(5):
        assert adb(server, "-s", phone.serial, "shell", f"echo {number}").strip() == str(number)
        assert run(connection, "echo", "ours") == ("ours",)
    long_run.join()


def test_a_phone_that_is_silent_but_still_acknowledges_is_noticed_by_its_missing_heartbeat(
    phone: Adbd, connection: AdbConnection, tmp_path: Path
) -> None:
    limits, started_s = Limits(deadline_s=60.0, silence_s=2.0), time.monotonic()
    after(1.0, phone.freeze)
    with pytest.raises(ConnectionFault, match="was lost"):
        connection.run(["sh", "-c", BEATING.format(pid=tmp_path / "pid")], limits, threading.Event())
    assert time.monotonic() - started_s < 40


def test_a_push_that_is_interrupted_leaves_nothing_that_looks_whole(
    phone: Adbd, connection: AdbConnection, tmp_path: Path
) -> None:
    phone.drop_after_bytes = 3_000_000
    with pytest.raises(ConnectionFault, match="was lost"):
        connection.push(b"x" * 10_000_000, str(tmp_path / "library" / "libonnxruntime.so"))
    wait_until(lambda: list((tmp_path / "library").iterdir()) == [])  # the shell there has tidied up
    connection.push(b"x" * 10_000_000, str(tmp_path / "library" / "libonnxruntime.so"))
    assert (tmp_path / "library" / "libonnxruntime.so").stat().st_size == 10_000_000


def test_a_full_disk_is_told_and_nothing_is_left(connection: AdbConnection, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with pytest.raises(ConnectionFault, match=r"cannot be written on phone .*No space left"):
            connection.push(b"x" * 5_000_000, str(disk / "library.so"))
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_phone_that_is_not_connected_is_named_with_what_to_type(server: AdbServer) -> None:
    with pytest.raises(
        ConnectionFault, match=r"phone R5CT10ABCDE can't be used: it is not connected; plug it in"
    ):
        run(AdbConnection("R5CT10ABCDE", server), "true")


def test_a_phone_whose_dialog_was_not_accepted_says_so_until_it_was(
    server: AdbServer, tmp_path: Path
) -> None:
    with a_phone(tmp_path / "shy", server, accepts_new_keys=False) as phone:
        connection = AdbConnection(phone.serial, server)
        with pytest.raises(ConnectionFault, match=r"unauthorized: unlock the phone and accept its dialog"):
            run(connection, "true")
        phone.accept()
        wait_until(lambda: SeenPhone(phone.serial, "device") in server.phones())
        assert run(connection, "echo", "trusted") == ("trusted",)


def test_a_phone_in_recovery_is_told_to_start_android(server: AdbServer, tmp_path: Path) -> None:
    with (
        a_phone(tmp_path / "ill", server, state="recovery") as phone,
        pytest.raises(ConnectionFault, match=rf"recovery: start Android on it: adb -s {phone.serial} reboot"),
    ):
        run(AdbConnection(phone.serial, server), "true")


def test_a_phone_without_the_shell_protocol_is_not_supported(server: AdbServer, tmp_path: Path) -> None:
    with (
        a_phone(tmp_path / "old", server, features="cmd") as phone,
        pytest.raises(ConnectionFault, match="too old: its adb has no shell_v2, which came with Android 7"),
    ):
        run(AdbConnection(phone.serial, server), "true")


def test_a_command_that_a_signal_ends_has_its_negative_status(connection: AdbConnection) -> None:
    result = connection.run(["sh", "-c", "kill -9 $$"], PLENTY, threading.Event())
    assert (result.ending, result.status) == (Ending.EXITED, -9)


def test_without_an_adb_program_the_fault_says_what_to_install(server: AdbServer) -> None:
    missing = AdbServer(port=_unused(server), program="/no/such/adb")
    with pytest.raises(ConnectionFault, match=r"adb is not installed .* type: sudo apt install adb"):
        missing.phones()


def _unused(server: AdbServer) -> int:
    return server.port - 1 if server.port > 1025 else server.port + 1


def test_a_server_on_another_machine_is_not_started_from_here() -> None:
    with pytest.raises(ConnectionFault, match=r"no adb server answers at 127\.0\.0\.2:1; start it there"):
        AdbServer("127.0.0.2", 1).phones()


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "127.0.0.1:5037"),
        ({"ANDROID_ADB_SERVER_PORT": "5040"}, "127.0.0.1:5040"),
        ({"ANDROID_ADB_SERVER_ADDRESS": "lab", "ANDROID_ADB_SERVER_PORT": "5040"}, "lab:5040"),
        ({"ADB_SERVER_SOCKET": "tcp:5041", "ANDROID_ADB_SERVER_PORT": "5040"}, "127.0.0.1:5041"),
        ({"ADB_SERVER_SOCKET": "tcp:lab:5041"}, "lab:5041"),
        ({"ADB_SERVER_SOCKET": "tcp:[::1]:5041"}, "::1:5041"),
    ],
)
def test_the_server_is_found_where_adb_finds_it(environment: dict[str, str], address: str) -> None:
    assert str(usual_server(environment)) == address


@pytest.mark.parametrize(
    "environment",
    [
        {"ANDROID_ADB_SERVER_PORT": "many"},
        {"ADB_SERVER_SOCKET": "localfilesystem:/tmp/adb"},
        {"ADB_SERVER_SOCKET": "tcp:0"},
    ],
)
def test_an_address_that_is_none_is_named(environment: dict[str, str]) -> None:
    ((name, given),) = environment.items()
    with pytest.raises(ConfigUnusable, match=rf"{name} = '{given}': give a port or tcp:HOST:PORT"):
        usual_server(environment)
