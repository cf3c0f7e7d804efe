"""The sentinel's level: the reference of a device, and how far a measurement is from it."""

import math

import pytest

from devices.calibration import reference_from, slowdown
from devices.outcome import BlockSamples, Measured, MemoryReading, PhaseSamples, ProcessSamples
from devices.plan import SentinelReference


def a_phase(*sentinel_ms: float) -> PhaseSamples:
    """One process per level."""
    return PhaseSamples(
        tuple(
            ProcessSamples((BlockSamples((5.0,), (level, level, 9 * level), True),)) for level in sentinel_ms
        )
    )


def test_a_calibration_gives_the_median_level_and_its_spread() -> None:
    memory = MemoryReading(1, 2, 3, 4, 4, 2)
    measured = Measured(a_phase(100.0, 110.0, 121.0), a_phase(5.0), memory, (), {}, 1.0)
    reference = reference_from(measured)
    assert (reference.prefill_ms, reference.decode_ms) == (110.0, 5.0)
    assert reference.prefill_log_spread == pytest.approx(math.log(1.1))
    assert reference.decode_log_spread == 0.0


def test_the_slowdown_is_that_of_the_worse_phase() -> None:
    assert slowdown(a_phase(120.0), a_phase(10.0), SentinelReference(100.0, 5.0)) == pytest.approx(2.0)
    assert slowdown(a_phase(300.0), a_phase(5.0), SentinelReference(100.0, 5.0)) == pytest.approx(3.0)
