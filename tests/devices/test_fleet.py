"""One agent with machines that it reaches over real SSH: they come, go, come back, and disturb nobody."""

import getpass
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.agent_config import HostEntry, PhoneEntry, read_agent_config, read_phone_entries
from devices.errors import ConfigUnusable
from devices.ssh import offered_host_key
from tests.devices.sshd import Sshd, a_running_sshd
from tests.devices.test_agent import (
    LONG_BLOCKS,
    a_built_runner,
    a_plan,
    a_service,
    an_agent,
    runner_pids,
    settings_for,
    wait_until,
)

__all__ = ["a_built_runner"]  # a fixture that runs by itself


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with a_running_sshd(tmp_path / "sshd") as running:
        yield running


def the_config(place: Path, server: Sshd, **changes: str) -> Path:
    fields = {
        "name": "desk",
        "host": "127.0.0.1",
        "user": getpass.getuser(),
        "key": str(server.user_key),
        "host_key": offered_host_key("127.0.0.1", server.port),
        "folder": str(place / "desk"),
        **changes,
    }
    lines = [f'{key} = "{value}"' for key, value in fields.items()]
    path = place / "agent.toml"
    path.write_text("\n".join(["[[ssh]]", *lines, f"port = {server.port}", 'labels = {room = "lab"}', ""]))
    return path


def hosts(folder: Path, server: Sshd) -> tuple[HostEntry, ...]:
    return read_agent_config(the_config(folder, server))


def test_a_machine_over_ssh_is_registered_beside_the_agents_own_and_measured(
    server: Sshd, tmp_path: Path
) -> None:
    with a_service() as service:
        settings = settings_for(service, tmp_path, hosts=hosts(tmp_path, server))
        with an_agent(settings):
            service.wait_for(
                lambda: len(service.registrations[-1]["devices"] if service.registrations else ()) == 2
            )
            service.enqueue("job-1", a_plan(), "desk")
            service.enqueue("job-2", a_plan(), "bench-1")
            service.wait_for(lambda: len(service.results) == 2)
    devices = {device["name"]: device for device in service.registrations[-1]["devices"]}
    assert (devices["desk"]["kind"], devices["desk"]["labels"]) == ("ssh", {"room": "lab"})
    assert devices["desk"]["identity"] != devices["bench-1"]["identity"]
    assert devices["desk"]["facts"]["cores"] == devices["bench-1"]["facts"]["cores"]
    assert {result["outcome"]["kind"] for result in service.results.values()} == {"measured"}
    assert [registration["is_start"] for registration in service.registrations] == [True, False]


def test_a_machine_that_is_away_keeps_nobody_from_work_and_is_there_once_it_answers(
    server: Sshd, tmp_path: Path
) -> None:
    configured = hosts(tmp_path, server)
    server.stop()
    with a_service() as service, an_agent(settings_for(service, tmp_path, hosts=configured)):
        service.enqueue("job-1", a_plan())
        service.wait_for(lambda: "job-1" in service.results)
        assert len(service.registrations[-1]["devices"]) == 1
        server.start()
        service.enqueue("job-2", a_plan(), "desk")
        service.wait_for(lambda: "job-2" in service.results)
    assert service.results["job-2"]["outcome"]["kind"] == "measured"


def test_a_machine_that_is_lost_in_mid_measurement_is_reported_so_and_served_again_when_it_is_back(
    server: Sshd, tmp_path: Path
) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path, hosts=hosts(tmp_path, server))):
        service.enqueue("job-1", a_plan(LONG_BLOCKS), "desk")
        wait_until(lambda: "task time" in text_of(tmp_path / "desk" / "plan.txt"))
        time.sleep(0.5)
        server.stop()
        service.wait_for(lambda: "job-1" in service.results)
        assert service.results["job-1"]["outcome"]["kind"] == "device_lost"
        server.start()
        service.enqueue("job-2", a_plan(), "desk")
        service.wait_for(lambda: "job-2" in service.results)
    assert service.results["job-2"]["outcome"]["kind"] == "measured"


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_two_ways_to_one_machine_take_turns(server: Sshd, tmp_path: Path) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path, hosts=hosts(tmp_path, server))):
        service.wait_for(lambda: len(service.registrations) == 2)
        service.enqueue("job-1", a_plan(LONG_BLOCKS), "bench-1")
        wait_until(lambda: bool(runner_pids(tmp_path)))
        service.enqueue("job-2", a_plan(), "desk")
        service.wait_for(lambda: len(service.leases_granted) == 2)
        time.sleep(1.0)
        assert service.results == {}
        service.superseded.add("job-1")
        service.wait_for(lambda: "job-2" in service.results)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host_key": "SHA256:abc"}, r"ssh\[0\]\.host_key = 'SHA256:abc': write its kind and fingerprint"),
        ({"colour": "red"}, r"ssh\[0\]\.colour: unknown key; known are .*name, host"),
        ({"folder": "~/loopfront"}, r"ssh\[0\]\.folder = '~/loopfront': write the whole path"),
        ({"name": ""}, r"ssh\[0\]\.name = '': use letters without accents"),
    ],
)
def test_a_mistake_in_agent_toml_is_named(
    server: Sshd, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigUnusable, match=words):
        read_agent_config(the_config(tmp_path, server, **changes))


def test_an_agent_toml_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnusable, match=r"missing\.toml can't be read: No such file"):
        read_agent_config(tmp_path / "missing.toml")
    (tmp_path / "agent.toml").write_text("[[ssh")
    with pytest.raises(ConfigUnusable, match=r"agent\.toml is no TOML"):
        read_agent_config(tmp_path / "agent.toml")


def test_phones_may_be_named_in_agent_toml(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        '[[phone]]\nserial = "R5CT10ABCDE"\nname = "red"\nlabels = {owner = "lab"}\n[[phone]]\nserial = "B"\n'
    )
    assert read_phone_entries(path) == (
        PhoneEntry("R5CT10ABCDE", "red", None, {"owner": "lab"}),
        PhoneEntry("B"),
    )
    assert read_agent_config(path) == ()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('serial = ""', r"phone\[0\]\.serial = '': give every phone one table"),
        ('serial = "A"\n[[phone]]\nserial = "A"', r"phone\[0\]\.serial = 'A': give every phone one table"),
        ('serial = "A"\nname = ""', r"phone\[0\].name = '': use letters without accents"),
        ('serial = "A"\nfolder = "sdcard"', r"phone\[0\]\.folder = 'sdcard': write the whole path"),
        ('name = "A"', r"phone\[0\].*serial"),
        ('serial = "A"\ncolour = "red"', r"phone\[0\]\.colour: unknown key; known are labels, allowed_hours"),
    ],
)
def test_a_mistake_in_a_phones_table_is_named(tmp_path: Path, table: str, words: str) -> None:
    (tmp_path / "agent.toml").write_text(f"[[phone]]\n{table}\n")
    with pytest.raises(ConfigUnusable, match=words):
        read_phone_entries(tmp_path / "agent.toml")
