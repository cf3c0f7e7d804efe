"""A measurement as numbers with uncertainty."""

import math

import pytest

from devices.outcome import BlockSamples, DeeperDecode, Measured, MemoryReading, PhaseSamples, ProcessSamples
from devices.plan import SentinelReference
from search.observation import Observation
from service.observations import observe

REFERENCE = SentinelReference(prefill_ms=100.0, decode_ms=10.0)
MEMORY = MemoryReading(1, 1, 1, 1, 100_000_000, 1)


def a_process(level_ms: float, slowest: float) -> ProcessSamples:
    """Twenty runs beside a sentinel of 10 ms, two of them `slowest` times as slow as the others."""
    runs = (level_ms,) * 9 + (level_ms * slowest,)
    return ProcessSamples(tuple(BlockSamples(runs, (10.0,) * 10, first) for first in (True, False)))


def observed(*processes: ProcessSamples) -> tuple[Observation, Observation]:
    phase = PhaseSamples(processes)
    found = observe(Measured(phase, phase, MEMORY, (), {}, 1.0), REFERENCE, "laptop")
    return found["tpot_ms_p50@laptop"], found["tpot_ms_p95@laptop"]


def relative_width(observation: Observation) -> float:
    return (observation.high - observation.low) / observation.value


def test_a_time_is_the_ratio_to_the_sentinel_times_its_reference_time() -> None:
    p50, p95 = observed(*[a_process(20.0, 1.5)] * 3)
    assert p50.value == pytest.approx(20.0)
    assert p95.value == pytest.approx(30.0)


def test_a_deeper_context_is_paired_with_the_sentinels_level_at_the_first() -> None:
    shallow, deep = (PhaseSamples((a_process(ms, 1.5),) * 3) for ms in (20.0, 50.0))
    measured = Measured(shallow, shallow, MEMORY, (), {}, 1.0, deeper=(DeeperDecode(4096, deep),))
    found = observe(measured, REFERENCE, "laptop")
    assert found["tpot_ms_p50_at_4096@laptop"].value == pytest.approx(50.0)
    assert found["tpot_ms_p50@laptop"].value == pytest.approx(20.0)


def test_a_p95_is_as_uncertain_as_the_processes_tails_differ() -> None:
    steady = observed(*[a_process(20.0, 1.5)] * 4)
    wild = observed(*[a_process(20.0, slowest) for slowest in (1.1, 1.4, 1.9, 2.6)])
    assert relative_width(wild[0]) == pytest.approx(relative_width(steady[0]))
    assert relative_width(wild[1]) > 3 * relative_width(steady[1])


def test_a_p95_is_never_surer_than_its_median() -> None:
    p50, p95 = observed(*[a_process(20.0, 1.5)] * 4)
    assert p95.high / p95.value == pytest.approx(p50.high / p50.value)


def test_the_p95_of_a_single_process_is_uncertain_by_its_whole_tail() -> None:
    _, p95 = observed(a_process(20.0, 2.0))
    assert p95.low == pytest.approx(20.0)
    assert math.isfinite(p95.high)
