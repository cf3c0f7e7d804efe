"""Outcomes: every kind survives JSON, and what a device sends is checked."""

import json
from typing import Any

import pytest

from devices.errors import PlanError
from devices.outcome import (
    OUTCOMES,
    BandwidthMeasured,
    BlockSamples,
    Failure,
    Measured,
    MemoryReading,
    Outcome,
    PhaseSamples,
    ProcessSamples,
    TeamReading,
    outcome_from_dict,
    outcome_to_dict,
)


def a_measured() -> Measured:
    phase = PhaseSamples((ProcessSamples((BlockSamples((1.0, 2.0), (3.0,), True),)),))
    memory = MemoryReading(1, 2, 3, 4, 4, 2)
    return Measured(phase, phase, memory, (0.999,), {"facts": {"cpu": "x", "battery": None}}, 4.5)


def an_outcome(kind: str) -> Outcome:
    if kind == "measured":
        return a_measured()
    if kind == "bandwidth_measured":
        return BandwidthMeasured((TeamReading(1, 10**9, (90.0, 100.0)),), {"plan": {"threads": 1}}, 1.5)
    failure: type[Any] = OUTCOMES[kind]
    return failure(reason="why", log="line 1\nline 2")


@pytest.mark.parametrize("kind", OUTCOMES)
def test_every_kind_survives_json(kind: str) -> None:
    outcome = an_outcome(kind)
    assert outcome_from_dict(json.loads(json.dumps(outcome_to_dict(outcome)))) == outcome
    assert outcome_to_dict(outcome)["kind"] == kind


def test_the_registry_holds_every_outcome_under_its_own_kind() -> None:
    assert {kind: cls.kind for kind, cls in OUTCOMES.items()} == {kind: kind for kind in OUTCOMES}
    assert set(OUTCOMES.values()) == {Measured, BandwidthMeasured, *Failure.__args__}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "success"}, "outcome.kind: expected one of measured"),
        ({"seconds": "4"}, "outcome.seconds: expected float"),
        ({"prefill": {"processes": []}}, "at least one process"),
        ({"prefill": {"processes": [{"blocks": []}]}}, "at least one block"),
        ({"extra": 1}, "outcome.extra: unknown key"),
    ],
)
def test_what_a_device_sends_is_not_believed_blindly(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        outcome_from_dict({**outcome_to_dict(a_measured()), **change})


@pytest.mark.parametrize("candidate_ms", [(), (0.0,), (-1.0, 2.0)])
def test_a_block_without_samples_or_with_impossible_ones_is_refused(candidate_ms: tuple[float, ...]) -> None:
    with pytest.raises(PlanError, match="block: "):
        BlockSamples(candidate_ms, (1.0,), True)
