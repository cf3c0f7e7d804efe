"""What a candidate's output is checked on, with the real runner and runtime."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from devices.bench import local_bench
from devices.measuring import measure
from devices.outcome import Measured, WrongOutput
from devices.plan import MeasurementPlan, SentinelReference, Workload
from devices.readiness import Thresholds
from operators.architecture import Architecture, Block, SwiGLU
from operators.cost import weight_bytes
from operators.mixer_stacks import mixers_of_width, stack_of
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import CACHE_SLACK_TOKENS, SlidingWindowAttention
from operators.precision import Precision
from search.feasibility import RUNTIME_BYTES
from service.measurement_plans import Calibration, Conditions, Lowered, candidate_plan, lower_model

PRECISION = Precision(4, 32)
WORKLOAD = Workload(prompt_tokens=32, context_tokens=192, generate_tokens=16)
CALIBRATION = Calibration("of the test", SentinelReference(prefill_ms=1e6, decode_ms=1e6))
LENIENT = Thresholds(
    temperature_c=200.0, idle_cores=-1000.0, battery_percent=0, spare_bytes=0, patience_s=0.0
)


def windowed(window: int) -> Architecture:
    mixers = (ShortConv(), SlidingWindowAttention(heads=4, kv_heads=2, head_size=32, window=window))
    return Architecture(512, 128, tuple(Block(mixer, SwiGLU(256)) for mixer in mixers))


def planned(architecture: Architecture, workload: Workload = WORKLOAD) -> tuple[MeasurementPlan, Lowered]:
    lowered = lower_model("candidate", architecture, PRECISION, workload)
    plan = candidate_plan(architecture, lowered, Conditions(workload, PRECISION), CALIBRATION)
    few: dict[str, Any] = {
        "minimum_processes": 1,
        "decode_processes": 1,
        "maximum_processes": 1,
        "blocks": 1,
        "prefills_per_process": 1,
    }
    return dataclasses.replace(plan, protocol=dataclasses.replace(plan.protocol, **few)), lowered


def prompt_tokens(architecture: Architecture, workload: Workload = WORKLOAD) -> int:
    plan, _ = planned(architecture, workload)
    assert plan.check is not None
    return len(plan.check.prompt_ids)


def test_the_check_of_a_sliding_window_reaches_beyond_it_and_its_slack() -> None:
    plan, _ = planned(windowed(64))
    assert plan.check is not None
    shown = len(plan.check.prompt_ids)
    assert shown < 64 + CACHE_SLACK_TOKENS < shown + len(plan.check.decode_ids)


def test_the_check_stays_within_the_depth_that_is_measured() -> None:
    shallow = Workload(prompt_tokens=16, context_tokens=40, generate_tokens=8)
    assert prompt_tokens(windowed(48), shallow) == 44


def test_the_check_is_short_where_no_window_asks_for_more() -> None:
    assert prompt_tokens(dataclasses.replace(windowed(64), blocks=windowed(64).blocks[:1])) == 24


@pytest.mark.parametrize(("window", "expected"), [(64, Measured), (200, WrongOutput)])
def test_a_graph_that_ignores_the_window_gives_a_wrong_output(
    window: int, expected: type, tmp_path: Path
) -> None:
    plan, _ = planned(windowed(64))
    _, other = planned(windowed(window))
    graphs = {other.files.graph_sha256: other.graph.onnx_bytes}
    plan = dataclasses.replace(plan, candidate=other.files, sentinel=other.files)
    outcome = measure(plan, local_bench(tmp_path, LENIENT), graphs.__getitem__)
    assert isinstance(outcome, expected), outcome


def test_a_measured_candidate_needs_more_memory_than_the_least_that_a_study_file_may_allow(
    tmp_path: Path,
) -> None:
    plan, lowered = planned(windowed(64))
    graphs = {lowered.files.graph_sha256: lowered.graph.onnx_bytes}
    outcome = measure(
        dataclasses.replace(plan, sentinel=lowered.files), local_bench(tmp_path, LENIENT), graphs.__getitem__
    )
    assert isinstance(outcome, Measured), outcome
    assert outcome.memory.peak_rss_bytes > RUNTIME_BYTES + weight_bytes(windowed(64), PRECISION)


def test_deeper_contexts_get_the_time_that_their_caches_take_on_a_slow_device() -> None:
    attention = mixers_of_width(1024)[1]
    flat = Workload(prompt_tokens=512, context_tokens=512, generate_tokens=64)
    deep = dataclasses.replace(flat, deeper_contexts=(32768,))
    stack = stack_of(attention, 6, 1024)
    plans = [
        candidate_plan(
            stack, lower_model("candidate", stack, PRECISION, each), Conditions(each, PRECISION), CALIBRATION
        )
        for each in (flat, deep)
    ]
    assert 60 < plans[0].protocol.deadline_s < 120
    assert plans[1].protocol.deadline_s - plans[0].protocol.deadline_s > 60
