"""Measuring on a simulated phone through the real adb client and server, and losing it at every step."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devices.adb import AdbConnection, AdbServer
from devices.bench import Bench, remote_bench
from devices.measuring import measure
from devices.outcome import DeviceLost, Measured, OutOfMemory
from devices.runner.build import BuiltRunner
from tests.devices.adbd import Adbd, a_phone, a_private_server, adb
from tests.devices.shells import tools_of
from tests.devices.simulated_android import tell_of_a_phone
from tests.devices.test_connection import assert_gone
from tests.devices.test_measuring import (
    ENDLESS,
    LENIENT,
    a_check,
    a_plan,
    a_protocol,
    a_script,
    graph_of,
    once_timing,
    runner_pids,
)
from tests.devices.test_remote_measuring import when


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    with a_private_server(tmp_path_factory.mktemp("adb")) as running:
        yield running


@pytest.fixture
def phone(server: AdbServer, tmp_path: Path) -> Iterator[Adbd]:
    with a_phone(tmp_path / "phone", server) as connected:
        tell_of_a_phone(connected)
        yield connected


@pytest.fixture
def bench(server: AdbServer, phone: Adbd, runner: BuiltRunner, tmp_path: Path) -> Bench:
    cache = tmp_path / "cache" / "runner"
    cache.mkdir(parents=True)
    (cache / runner.path.name).symlink_to(runner.path)
    connection = AdbConnection(phone.serial, server)
    return remote_bench(connection, tmp_path / "cache", LENIENT, str(tmp_path / "device"))


def test_a_candidate_is_measured_over_adb_as_it_is_here(bench: Bench, tmp_path: Path) -> None:
    outcome = measure(a_plan(check=a_check(tmp_path / "reference")), bench, graph_of())
    assert isinstance(outcome, Measured), outcome
    assert min(outcome.cosine) > 0.9999
    assert outcome.passport["device"]["model"] == "Loopfront Simulated X1"
    before = outcome.passport["conditions"]["before"]
    assert (before["battery_percent"], before["thermal_status"]) == (83, 0)


def test_a_candidate_is_measured_where_shell_and_tools_are_androids(
    bench: Bench, phone: Adbd, tmp_path: Path
) -> None:
    tools_of("mksh and toybox", phone.folder / "bin")
    assert isinstance(measure(a_plan(), bench, graph_of()), Measured)


@pytest.mark.parametrize("loss", ["drop", "die"])
def test_a_phone_that_goes_away_while_it_times_is_a_lost_device(
    loss: str, bench: Bench, phone: Adbd, tmp_path: Path
) -> None:
    pids: list[int] = []

    def lose(pid: int) -> None:
        pids.append(pid)
        getattr(phone, loss)()

    with once_timing(tmp_path / "device", lose):
        outcome = measure(a_plan(protocol=ENDLESS), bench, graph_of())
    assert isinstance(outcome, DeviceLost), outcome
    assert phone.serial in outcome.reason
    assert_gone(pids[0])


def test_a_phone_that_goes_away_during_a_push_is_a_lost_device(bench: Bench, phone: Adbd) -> None:
    phone.drop_after_bytes = 10
    outcome = measure(a_plan(), bench, graph_of())
    assert isinstance(outcome, DeviceLost), outcome
    assert isinstance(measure(a_plan(), bench, graph_of()), Measured)


def test_a_phone_that_is_away_before_anything_is_pushed_is_a_lost_device(bench: Bench, phone: Adbd) -> None:
    phone.die()
    assert isinstance(measure(a_plan(), bench, graph_of()), DeviceLost)


def test_a_phone_that_goes_away_between_the_last_sample_and_done_is_no_success(
    bench: Bench, phone: Adbd, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    script = a_script(
        tmp_path, f'echo "{{\\"record\\": \\"hello\\", \\"nonce\\": \\"$nonce\\"}}"; touch {said}; sleep 30'
    )
    with when(said.exists, phone.drop):
        outcome = measure(a_plan(), replace(bench, runner=script), graph_of())
    assert isinstance(outcome, DeviceLost), outcome


def test_a_server_that_another_client_kills_loses_the_measurement_and_the_next_one_works(
    bench: Bench, server: AdbServer, tmp_path: Path
) -> None:
    pids: list[int] = []

    def kill_the_server(pid: int) -> None:
        pids.append(pid)
        adb(server, "kill-server")

    with once_timing(tmp_path / "device", kill_the_server):
        outcome = measure(a_plan(protocol=ENDLESS), bench, graph_of())
    assert isinstance(outcome, DeviceLost), outcome
    assert_gone(pids[0])
    assert isinstance(measure(a_plan(), bench, graph_of()), Measured)


def test_a_candidate_that_exceeds_its_memory_leaves_the_phone_unharmed(bench: Bench) -> None:
    outcome = measure(a_plan(protocol=a_protocol(memory_limit_bytes=30_000_000)), bench, graph_of())
    assert isinstance(outcome, OutOfMemory), outcome
    assert isinstance(measure(a_plan(), bench, graph_of()), Measured)


def test_nothing_runs_on_after_being_asked_to_stop(bench: Bench, tmp_path: Path) -> None:
    stop = threading.Event()
    with once_timing(tmp_path / "device", lambda _pid: stop.set()), contextlib.suppress(Exception):
        measure(a_plan(protocol=ENDLESS), bench, graph_of(), stop)
    assert runner_pids(tmp_path / "device") == []
