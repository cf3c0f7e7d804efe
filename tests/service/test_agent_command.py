"""`loopfront agent` as a lab's owner types it, with a real sshd."""

import getpass
import json
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import COMMAND, loopfront, one_line, port_of, up

from devices.agent_config import read_agent_config
from tests.devices.sshd import Sshd, a_running_sshd


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with a_running_sshd(tmp_path / "sshd") as running:
        yield running


def places(folder: Path) -> tuple[str, ...]:
    return "--config", str(folder / "conf" / "agent.toml"), "--folder", str(folder / "agent")


def add(server: Sshd, folder: Path, *options: str) -> tuple[str, ...]:
    address = f"{getpass.getuser()}@127.0.0.1:{server.port}"
    there = ("--device-folder", str(folder / "desk"), "--key", str(server.user_key))
    return "agent", "add-ssh", address, "--name", "desk", *there, *places(folder), *options


def test_a_host_is_shown_tried_pinned_and_added(server: Sshd, tmp_path: Path) -> None:
    done = loopfront(*add(server, tmp_path, "--yes"))
    assert done.returncode == 0, done.stderr
    assert server.host.host_key in done.stdout
    assert "ready" in done.stdout or "must wait" in done.stdout
    path = tmp_path / "conf" / "agent.toml"
    (entry,) = read_agent_config(path)
    assert (entry.name, entry.host, entry.folder) == ("desk", server.host, str(tmp_path / "desk"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = loopfront(*add(server, tmp_path, "--yes"))
    assert again.returncode == 2
    assert "'desk' is in" in again.stderr


def test_a_host_that_is_not_confirmed_is_not_added(server: Sshd, tmp_path: Path) -> None:
    done = loopfront(*add(server, tmp_path))  # its standard input is empty: nobody says yes
    assert done.returncode != 0
    assert not (tmp_path / "conf").exists()


def test_a_host_that_cannot_be_used_is_not_added_and_says_why(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "desk").write_text("in the way")
    done = loopfront(*add(server, tmp_path, "--yes"), COLUMNS="200")
    assert done.returncode == 2
    assert "cannot be written" in done.stdout
    assert not (tmp_path / "conf").exists()


def test_the_doctor_examines_every_machine(server: Sshd, tmp_path: Path) -> None:
    assert loopfront(*add(server, tmp_path, "--yes")).returncode == 0
    well = loopfront("agent", "doctor", *places(tmp_path), COLUMNS="200")
    assert well.returncode == 0, well.stdout + well.stderr
    assert well.stdout.count("ready") + well.stdout.count("must wait") == 2
    assert list((tmp_path / "desk" / "pools").iterdir()) == []
    server.stop()
    server.make_host_key()
    server.start()
    ill = loopfront("agent", "doctor", *places(tmp_path), COLUMNS="300")
    assert ill.returncode == 1
    assert "can't be measured" in ill.stdout
    assert "pinned is" in ill.stdout
    assert ill.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("agent",), "--server: is missing"),
        (("agent", "add-ssh", "lab@"), "lab@: can't be an address"),
        (("agent", "add-ssh", "lab@host:0"), "lab@host:0: can't be an address"),
        (("agent", "add-ssh", "lab@127.0.0.1:1"), "127.0.0.1:1 does not answer"),
        (("agent", "doctor", "--config", "/missing.toml"), "/missing.toml can't be read"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = loopfront(*arguments, HOME=str(tmp_path))
    assert done.returncode == 2
    assert words in one_line(done.stderr)


@pytest.mark.slow
def test_a_machine_that_was_added_is_measured_by_its_name(server: Sshd, tmp_path: Path) -> None:
    assert loopfront(*add(server, tmp_path, "--yes")).returncode == 0
    data_folder = tmp_path / "service"
    with up(data_folder):
        url = f"http://127.0.0.1:{port_of(data_folder)}"
        agent = subprocess.Popen(
            [*COMMAND, "agent", "--server", url, "--data-folder", str(data_folder), *places(tmp_path)]
        )
        try:
            size = ("--parameters", "12M", "--vocabulary", "4096")
            wanted = ("arch", "measure", "CCACCA", *size, "--device", "desk", "--url", url, "--json")
            deadline_s = time.monotonic() + 60
            while "desk" not in loopfront("device", "list", "--url", url, "--json").stdout:
                assert time.monotonic() < deadline_s
            done = loopfront(*wanted, timeout_s=250)  # it calibrates the machine first
        finally:
            agent.terminate()
            assert agent.wait(timeout=20) == 0
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "done"
