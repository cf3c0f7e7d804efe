"""An agent's phones come and go while it runs, with the real adb server: it serves them, and disturbs nobody."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.adb import AdbServer
from devices.agent import AgentSettings
from devices.agent_config import PhoneEntry
from tests.devices.adbd import Adbd, a_phone, a_private_server, adb
from tests.devices.simulated_android import tell_of_a_phone
from tests.devices.test_agent import (
    LONG_BLOCKS,
    a_built_runner,
    a_plan,
    a_service,
    an_agent,
    settings_for,
    wait_until,
)
from tests.devices.test_measuring import runner_pids
from tests.devices.tiny_service import TinyService

__all__ = ["a_built_runner"]  # a fixture that runs by itself

NAME = "Simulated-X1-ABCD"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    with a_private_server(tmp_path_factory.mktemp("adb")) as running:
        yield running


@pytest.fixture
def phone(server: AdbServer, tmp_path: Path) -> Iterator[Adbd]:
    with a_phone(tmp_path / "phone", server) as connected:
        tell_of_a_phone(connected)
        yield connected


def phone_settings(service: TinyService, folder: Path, server: AdbServer) -> AgentSettings:
    entry = PhoneEntry("SIM0001ABCD", folder=str(folder / "storage"), labels={"owner": "lab"})
    return settings_for(service, folder, phones=server, phone_entries=(entry,))


def devices_of(service: TinyService) -> dict[str, dict[str, Any]]:
    presented = service.registrations[-1]["devices"] if service.registrations else ()
    return {device["name"]: device for device in presented}


def kind_of(service: TinyService, job: str) -> str:
    service.wait_for(lambda: job in service.results, 60)
    return str(service.results[job]["outcome"]["kind"])


def lines_about(name: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if line.startswith(name)]


def test_a_phone_that_appears_is_registered_and_measured_vanishes_quietly_and_is_served_again(
    server: AdbServer, phone: Adbd, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "loopfront.agent")
    adb(server, "disconnect", phone.serial)
    with a_service() as service, an_agent(phone_settings(service, tmp_path, server)):
        service.wait_for(lambda: len(service.registrations) == 1)
        assert list(devices_of(service)) == ["bench-1"]
        server.connect(phone.serial)
        service.wait_for(lambda: NAME in devices_of(service), 60)
        service.enqueue("job-1", a_plan(), NAME)
        assert kind_of(service, "job-1") == "measured"
        adb(server, "disconnect", phone.serial)
        wait_until(lambda: f"{NAME}: gone; waiting for it" in caplog.messages)
        service.enqueue("job-2", a_plan(), NAME)
        service.enqueue("job-3", a_plan(), "bench-1")
        assert kind_of(service, "job-3") == "measured"
        assert "job-2" not in service.results
        server.connect(phone.serial)
        assert kind_of(service, "job-2") == "measured"
    told = devices_of(service)[NAME]
    assert (told["kind"], told["labels"]) == ("adb", {"owner": "lab"})
    assert told["facts"]["system"] == "Android 14"
    assert lines_about(NAME, caplog) == [
        f"{NAME}: found as {phone.serial}",
        f"{NAME}: gone; waiting for it",
        f"{NAME}: back as {phone.serial}",
    ]


def test_a_phone_that_dies_in_mid_measurement_is_reported_lost_and_served_again_when_it_is_back(
    server: AdbServer, phone: Adbd, tmp_path: Path
) -> None:
    with a_service() as service, an_agent(phone_settings(service, tmp_path, server)):
        service.wait_for(lambda: NAME in devices_of(service), 60)
        service.enqueue("job-1", a_plan(LONG_BLOCKS), NAME)
        wait_until(lambda: bool(runner_pids(tmp_path / "storage", "time")), 60)
        phone.die()
        assert kind_of(service, "job-1") == "device_lost"
        phone.start()
        service.enqueue("job-2", a_plan(), NAME)
        assert kind_of(service, "job-2") == "measured"


def test_an_agent_outlives_its_adb_server_and_reaches_its_phones_again(
    server: AdbServer, phone: Adbd, tmp_path: Path
) -> None:
    with a_service() as service, an_agent(phone_settings(service, tmp_path, server)):
        service.wait_for(lambda: NAME in devices_of(service), 60)
        service.enqueue("job-1", a_plan(LONG_BLOCKS), NAME)
        wait_until(lambda: bool(runner_pids(tmp_path / "storage", "time")), 60)
        adb(server, "kill-server")
        assert kind_of(service, "job-1") == "device_lost"
        service.enqueue("job-2", a_plan(), NAME)
        assert kind_of(service, "job-2") == "measured"


def test_a_phone_whose_dialog_waits_is_complained_of_once_and_served_when_it_was_accepted(
    server: AdbServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with a_phone(tmp_path / "phone", server, accepts_new_keys=False) as shy:
        tell_of_a_phone(shy)
        with a_service() as service, an_agent(phone_settings(service, tmp_path, server)):
            wait_until(lambda: bool(lines_about(f"phone {shy.serial}", caplog)))
            shy.accept()
            service.wait_for(lambda: NAME in devices_of(service), 60)
        (line,) = lines_about(f"phone {shy.serial}", caplog)
    assert "accept its dialog" in line


def test_an_agent_without_adb_serves_what_it_can_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = AdbServer(port=1, program="/no/such/adb")
    with a_service() as service, an_agent(phone_settings(service, tmp_path, missing)):
        service.enqueue("job-1", a_plan())
        assert kind_of(service, "job-1") == "measured"
        wait_until(lambda: bool(lines_about("phone", caplog)))
    (line,) = lines_about("phone", caplog)
    assert "adb is not installed on this machine" in line
