"""An agent tells how it stands to each device, obeys pauses, and says who is welcome: with a real HTTP service."""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.agent_config import HostEntry
from devices.agent_token import AgentToken, store_token
from devices.owner_rules import OwnerRules, Window
from devices.spool import Spool
from tests.devices.sshd import Sshd, a_running_sshd
from tests.devices.test_agent import (
    LONG_BLOCKS,
    a_built_runner,
    a_plan,
    a_service,
    an_agent,
    has_run_lately,
    is_timing,
    settings_for,
    wait_until,
)
from tests.devices.test_fleet import hosts
from tests.devices.tiny_service import TinyService

__all__ = ["a_built_runner"]  # a fixture that runs by itself

TOKEN = "lfa_" + 40 * "x"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with a_running_sshd(tmp_path / "sshd") as running:
        yield running


def stations(service: TinyService) -> dict[str, dict[str, Any]]:
    return {station["name"]: station for station in service.stations}


def states(service: TinyService) -> dict[str, str]:
    return {name: station["state"] for name, station in stations(service).items()}


def not_now() -> OwnerRules:
    """Allowed in an hour that is far from the present one, whenever the test runs."""
    now = time.localtime()
    start = (now.tm_hour * 60 + now.tm_min + 720) % 1440
    return OwnerRules((Window(start, (start + 60) % 1440),))


def test_a_device_outside_its_hours_is_told_to_rest_and_asks_for_no_job(tmp_path: Path) -> None:
    rules = not_now()
    start = rules.allowed_hours[0].start_minute
    with a_service() as service, an_agent(settings_for(service, tmp_path, rules=rules)):
        service.enqueue("job-1", a_plan())
        service.wait_for(lambda: states(service) == {"bench-1": "resting"})
        time.sleep(1.0)
        assert service.leases_granted == []
        said = stations(service)["bench-1"]
        assert said["words"] == f"allowed from {start // 60:02d}:{start % 60:02d}"
        assert said["identity"] == service.registrations[0]["devices"][0]["identity"]


def test_a_device_that_does_not_tell_its_charge_rests_where_its_owner_asks_for_charge(tmp_path: Path) -> None:
    if any(path.read_text().strip() == "Battery" for path in Path("/sys/class/power_supply").glob("*/type")):
        pytest.skip("this machine has a battery")
    rules = OwnerRules(only_while_charging=True)
    with a_service() as service, an_agent(settings_for(service, tmp_path, rules=rules)):
        service.wait_for(lambda: states(service) == {"bench-1": "resting"})
        assert "does not tell whether it is charging" in stations(service)["bench-1"]["words"]


def test_a_pause_in_mid_measurement_kills_the_runner_and_nothing_is_reported(tmp_path: Path) -> None:
    with a_service() as service, an_agent(settings_for(service, tmp_path)):
        service.enqueue("job-1", a_plan(LONG_BLOCKS))
        wait_until(lambda: is_timing(tmp_path))
        paused_s = time.monotonic()
        service.paused.add("job-1")
        wait_until(lambda: not has_run_lately(tmp_path))
        assert time.monotonic() - paused_s < 10
        service.enqueue("job-2", a_plan())
        service.wait_for(lambda: "job-2" in service.results)
    assert (list(service.results), service.releases) == (["job-2"], [])


def test_a_machine_that_cannot_be_opened_is_told_with_what_to_do_and_mended_when_it_answers(
    server: Sshd, tmp_path: Path
) -> None:
    configured = hosts(tmp_path, server)
    server.stop()
    with a_service() as service, an_agent(settings_for(service, tmp_path, hosts=configured)):
        service.wait_for(lambda: states(service).get("desk") == "unopened")
        assert "does not answer" in stations(service)["desk"]["words"]
        assert stations(service)["desk"]["identity"] is None
        server.start()
        service.wait_for(lambda: states(service) == {"bench-1": "ready", "desk": "ready"})
        known = stations(service)["desk"]["identity"]
        server.stop()
        server.make_host_key()
        server.start()
        service.wait_for(lambda: states(service)["desk"] == "key_changed")
    assert "another machine answers" in stations(service)["desk"]["words"]
    assert stations(service)["desk"]["identity"] == known is not None


def test_a_host_whose_key_is_not_there_is_told_by_its_file(server: Sshd, tmp_path: Path) -> None:
    (entry,) = hosts(tmp_path, server)
    lost = dataclasses.replace(entry, host=dataclasses.replace(entry.host, key_path=tmp_path / "no-key"))
    assert isinstance(lost, HostEntry)
    with a_service() as service, an_agent(settings_for(service, tmp_path, hosts=(lost,))):
        service.wait_for(lambda: states(service).get("desk") == "unopened")
    assert "no-key" in stations(service)["desk"]["words"]


def run_agent_to_its_end(service: TinyService, folder: Path, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "devices.agent", "--server", service.url, "--folder", str(folder)]
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    ended = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("token", ["lfa_" + 40 * "y", "nonsense"])
def test_an_agent_that_starts_with_a_wrong_token_ends_and_says_what_to_do(tmp_path: Path, token: str) -> None:
    with a_service() as service:
        service.token = TOKEN
        code, said = run_agent_to_its_end(service, tmp_path, LOOPFRONT_AGENT_TOKEN=token)
    assert code == 2
    assert "token" in said
    assert token not in said
    assert "Traceback" not in said


def test_an_agent_that_starts_beside_a_service_of_another_protocol_ends_with_the_command(
    tmp_path: Path,
) -> None:
    with a_service() as service:
        for protocol, way_out in (
            ("999", "on this machine: pip install 'loopfront==9.9.9'"),
            ("1", "upgrade the service: pip install "),
            ("", "another program"),
        ):
            service.protocol = protocol
            code, said = run_agent_to_its_end(service, tmp_path)
            assert (code, way_out in said) == (2, True), said


def test_a_token_that_becomes_wrong_loses_nothing_and_mending_its_file_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "conf" / "token"
    store_token(TOKEN, path)
    assert path.stat().st_mode & 0o777 == 0o600
    with a_service() as service:
        service.token = TOKEN
        with an_agent(settings_for(service, tmp_path, token=AgentToken(path))):
            service.enqueue("job-1", a_plan(6_000))
            wait_until(lambda: is_timing(tmp_path))
            service.token = TOKEN + "new"
            wait_until(lambda: Spool(tmp_path / "spool").waiting())
            time.sleep(1.0)
            assert service.results == {}
            store_token(TOKEN + "new", path)
            service.wait_for(lambda: "job-1" in service.results)
        assert not (tmp_path / "spool" / "refused").exists()
    assert service.leases_granted == [("job-1", 1)]
