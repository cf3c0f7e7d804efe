"""Machines of another architecture, end to end: made ready and measured on over SSH. All of it under emulation."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.bench import ANDROID_FOLDER, Bench, remote_bench
from devices.measuring import measure
from devices.outcome import Measured
from devices.plan import MeasurementPlan, Workload
from devices.ssh import SshConnection
from devices.supplies.store import Supplies
from operators.precision import Precision
from service.measurement_plans import Lowered, lower_model, output_check
from tests.devices.emulated_machine import (
    an_emulated_board,
    an_emulated_board_without_glibc,
    an_emulated_phone,
    root_of,
)
from tests.devices.shared_supplies import shared_supplies
from tests.devices.test_measuring import LENIENT, a_protocol
from tests.operators.builders import an_architecture

WORKLOAD = Workload(prompt_tokens=8, context_tokens=160, generate_tokens=4)
ONCE = {"minimum_processes": 1, "maximum_processes": 1, "decode_processes": 1, "blocks": 1}


@pytest.fixture
def supplies() -> Supplies:
    return shared_supplies()


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


def a_small_plan() -> tuple[MeasurementPlan, Lowered]:
    """One block of each mixer with int4 weights, and what x86 says of it: the reference is computed here."""
    architecture, precision = an_architecture(), Precision(4, 32)
    lowered = lower_model("candidate", architecture, precision, WORKLOAD)
    check = output_check(architecture, lowered.graph, precision)
    protocol = a_protocol(prefills_per_process=1, deadline_s=200.0, **ONCE)
    return MeasurementPlan(lowered.files, lowered.files, WORKLOAD, check, protocol, None), lowered


def assert_measured_like_here(bench: Bench) -> None:
    plan, lowered = a_small_plan()
    outcome = measure(
        plan, dataclasses.replace(bench, silence_s=60.0), lambda _digest: lowered.graph.onnx_bytes
    )
    assert isinstance(outcome, Measured), outcome
    print("cosine", outcome.cosine)
    assert min(outcome.cosine) > 0.999
    assert outcome.passport["runner"]["sha256"] == bench.runner.sha256
    assert outcome.passport["runtime"]["sha256"] == bench.library.sha256


def test_a_phone_without_glibc_is_given_one_and_measured(
    tmp_path: Path, builds: Path, supplies: Supplies
) -> None:
    with an_emulated_phone(tmp_path) as server:
        bench = remote_bench(SshConnection(server.host), builds, LENIENT, supplies=supplies)
        print(bench.runner_command, bench.description())
        assert_measured_like_here(bench)
