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
from devices.supplies.store import Supplies
from tests.devices.adbd import a_phone, a_private_server
from tests.devices.emulated_machine import an_emulated_phone
from tests.devices.shared_supplies import shared_stick
from tests.devices.simulated_android import tell_of_a_phone
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
    assert "already, with the key that it shows" in again.stderr
    other = loopfront("agent", "add-ssh", "lab@10.0.0.7", "--name", "desk", *places(tmp_path), "--yes")
    assert (other.returncode, "'desk' is in" in other.stderr) == (2, True)


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
    told = f"loopfront agent add-ssh {getpass.getuser()}@127.0.0.1:{server.port}"
    assert told in " ".join(ill.stdout.split())
    address = told.rpartition(" ")[2]
    pinned = loopfront("agent", "add-ssh", address, "--yes", *places(tmp_path), COLUMNS="200")
    assert (pinned.returncode, "pinned anew" in pinned.stdout) == (0, True), pinned.stderr
    (entry,) = read_agent_config(tmp_path / "conf" / "agent.toml")
    assert (entry.name, entry.host.host_key) == ("desk", server.host.host_key)


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


def test_the_doctor_examines_phones_and_tells_how_to_let_it_use_others(tmp_path: Path) -> None:
    config = tmp_path / "conf" / "agent.toml"
    config.parent.mkdir()
    named = f'[[phone]]\nserial = "SIM0001ABCD"\nname = "red"\nfolder = "{tmp_path / "storage"}"\n'
    config.write_text(f'{named}[[phone]]\nserial = "R5CT10ABCDE"\nname = "blue"\n')
    with (
        a_private_server(tmp_path / "adb") as server,
        a_phone(tmp_path / "phone", server) as phone,
        a_phone(tmp_path / "shy", server, accepts_new_keys=False) as shy,
    ):
        tell_of_a_phone(phone)
        port = {"ANDROID_ADB_SERVER_PORT": str(server.port), "COLUMNS": "300"}
        told = loopfront("agent", "doctor", *places(tmp_path), LOOPFRONT_AGENT_PHONES="1", **port)
        without = loopfront("agent", "doctor", "--no-phones", *places(tmp_path), **port)
    lines = {line.split()[0]: line for line in told.stdout.splitlines() if line.strip()}
    assert told.returncode == 1
    assert "ready" in lines["red"] or "must wait" in lines["red"]
    assert "accept its dialog 'Allow USB debugging?'" in lines[shy.serial]
    assert "not connected: plug it in" in lines["blue"]
    assert (without.returncode, "red" in without.stdout) == (0, False)


def test_fetch_names_the_platforms_that_there_are(tmp_path: Path) -> None:
    done = loopfront("agent", "fetch", "--to", str(tmp_path / "stick"), "--platform", "linux-riscv64")
    assert done.returncode == 2
    assert "use linux-x86_64, linux-aarch64, macos-arm64" in one_line(done.stderr)
    assert not (tmp_path / "stick").exists()


def test_what_fetch_wrote_is_all_that_a_lab_without_a_network_needs(tmp_path: Path) -> None:
    """The files are fetched into the tests' cache once; what is sound there stays."""
    fetched = loopfront("agent", "fetch", "--to", str(shared_stick()), "--platform", "linux-aarch64")
    if "can't be fetched" in fetched.stderr:
        pytest.skip(f"the supplies can't be reached: {one_line(fetched.stderr)}")
    assert "6 files, 26 MB" in fetched.stdout
    supplies = Supplies(tmp_path / "supplies", from_dir=shared_stick())
    assert Path(supplies.library("linux-aarch64").path).exists()
    assert Path(supplies.glibc("aarch64").path).exists()


def test_a_phone_is_not_added_while_the_folder_lacks_what_it_needs(tmp_path: Path) -> None:
    with an_emulated_phone(tmp_path / "phone") as phone:
        empty = ("--from-dir", str(tmp_path / "empty"))
        done = loopfront(*add(phone, tmp_path, "--yes", *empty), COLUMNS="500", timeout_s=120)
    assert done.returncode == 2
    assert "aarch64.whl is missing: wanted is onnxruntime" in done.stdout
    assert "`loopfront agent fetch --to DIR`" in done.stdout
    assert not (tmp_path / "conf").exists()
