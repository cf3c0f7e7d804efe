"""Plans: they survive JSON, refuse what was not promised, and their pools have stable digests."""

import dataclasses
import json
from typing import Any

import pytest

from devices.errors import PlanError
from devices.plan import (
    MeasurementPlan,
    ModelFiles,
    OutputCheck,
    PoolSection,
    PoolSpec,
    Protocol,
    SentinelReference,
    StateSpec,
    Workload,
    from_dict,
    to_dict,
)


def a_pool(seed: int = 7) -> PoolSpec:
    return PoolSpec(seed, (PoolSection("bytes", 5000), PoolSection("uniform", 3, -0.25, 0.1)))


def a_model(name: str = "CA") -> ModelFiles:
    state = StateSpec("past.0", "present.0", (1, 2, 64, 8), True)
    return ModelFiles(name, "ab" * 32, 1000, a_pool(), 64, True, (state,))


def a_plan(**changes: Any) -> MeasurementPlan:
    plan = MeasurementPlan(
        candidate=a_model(),
        sentinel=a_model("sentinel"),
        workload=Workload(prompt_tokens=16, context_tokens=32, generate_tokens=8),
        check=OutputCheck((1, 2), (3,), (0, 5), ((0.5, 1.0), (2.0, -1.0)), 0.99),
        protocol=Protocol("as-shipped", 2, 4, 4, 4, 2, 0.04, 60.0, None),
        sentinel_reference=SentinelReference(100.0, 5.0),
    )
    return dataclasses.replace(plan, **changes)


@pytest.mark.parametrize("plan", [a_plan(), a_plan(check=None, sentinel_reference=None)])
def test_a_plan_survives_json(plan: MeasurementPlan) -> None:
    assert from_dict(json.loads(json.dumps(to_dict(plan)))) == plan


def changed(place: tuple[str | int, ...], value: object) -> dict[str, Any]:
    mapping = json.loads(json.dumps(to_dict(a_plan())))
    node = mapping
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return mapping


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("workload", "colour"), "red", "plan.workload.colour: unknown key"),
        (("workload", "threads"), "1", "plan.workload.threads: expected int, got '1'"),
        (("workload", "threads"), True, "plan.workload.threads: expected int, got True"),
        (("workload", "threads"), 0, "workload.threads: must be positive, got 0"),
        (("protocol", "profile"), "fast", "profile: expected one of 'as-shipped', 'lab', got 'fast'"),
        (("workload", "deeper_contexts"), [64, 48], r"deeper_contexts: \[64, 48\] must rise from 32 on"),
        (("workload", "deeper_contexts"), [32], r"deeper_contexts: \[32\] must rise from 32 on"),
        (
            ("protocol", "deadline_s"),
            float("nan"),
            "plan.protocol.deadline_s: expected a finite number, got nan",
        ),
        (("candidate", "pool", "sections", 0, "kind"), "zeros", r"plan.candidate.pool.sections\[0\].kind"),
        (("candidate", "graph_sha256"), "../../etc/passwd", "graph_sha256: expected 64 hex digits"),
        (("candidate", "states", 0, "input_name"), "past\nlibrary /tmp/evil", "state name: unusable"),
        (("check", "expected"), [[1.0, 2.0]], "check.expected: expected 2 rows, got 1"),
        (("sentinel",), None, "plan.sentinel: expected an object, got None"),
    ],
)
def test_a_plan_with_a_mistake_is_refused_by_place(
    place: tuple[str | int, ...], value: object, message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        from_dict(changed(place, value))


def test_a_missing_key_is_named() -> None:
    mapping = to_dict(a_plan())
    del mapping["workload"]["prompt_tokens"]
    with pytest.raises(PlanError, match=r"plan\.workload\.prompt_tokens: missing"):
        from_dict(mapping)


def test_pool_sections_start_on_pages_and_the_file_ends_on_one() -> None:
    assert a_pool().offsets == (0, 8192)
    assert a_pool().size_bytes == 12288


def test_equal_pools_have_equal_digests_and_another_seed_or_bound_another() -> None:
    assert a_pool().digest == a_pool().digest
    wider = PoolSpec(7, (PoolSection("bytes", 5000), PoolSection("uniform", 3, -0.25, 0.1 + 1e-15)))
    assert len({a_pool().digest, a_pool(8).digest, wider.digest}) == 3
