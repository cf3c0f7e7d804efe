"""The paired summary: what it ignores, what it notices, and how often its interval is right."""

import math
import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.outcome import BlockSamples, PhaseSamples, ProcessSamples
from devices.summary import (
    PRIOR_LOG_SPREAD,
    disagreement,
    is_unsettled,
    percentile,
    student_t,
    summarise,
)

durations_ms = st.floats(min_value=0.01, max_value=1e5)
samples_ms = st.lists(durations_ms, min_size=1, max_size=5).map(tuple)
blocks = st.builds(BlockSamples, samples_ms, samples_ms, st.booleans())
processes = st.builds(ProcessSamples, st.lists(blocks, min_size=1, max_size=6).map(tuple))
phases = st.builds(PhaseSamples, st.lists(processes, min_size=1, max_size=5).map(tuple))


def a_process(*ratios: float, sentinel_ms: float = 10.0) -> ProcessSamples:
    blocks = (BlockSamples((ratio * sentinel_ms,) * 4, (sentinel_ms,) * 4, True) for ratio in ratios)
    return ProcessSamples(tuple(blocks))


def slowed(phase: PhaseSamples, factors: list[float]) -> PhaseSamples:
    """The same phase on a machine that is slower by another factor in each process."""

    def times(values: tuple[float, ...], factor: float) -> tuple[float, ...]:
        return tuple(value * factor for value in values)

    return PhaseSamples(
        tuple(
            ProcessSamples(
                tuple(
                    BlockSamples(
                        times(b.candidate_ms, factor), times(b.sentinel_ms, factor), b.candidate_first
                    )
                    for b in process.blocks
                )
            )
            for process, factor in zip(phase.processes, factors, strict=True)
        )
    )


@given(phases)
def test_every_phase_has_a_positive_ratio_inside_a_finite_interval(phase: PhaseSamples) -> None:
    summary = summarise(phase)
    assert summary.ratio_median > 0
    assert 0 < summary.ratio_half_width < math.inf
    assert summary.raw_p50_ms <= summary.raw_p95_ms * (1 + 1e-12)


@given(phases, st.data())
def test_a_machine_that_is_slower_in_some_processes_does_not_change_the_ratio(
    phase: PhaseSamples, data: st.DataObject
) -> None:
    count = len(phase.processes)
    factors = data.draw(st.lists(st.floats(0.1, 10.0), min_size=count, max_size=count))
    assert summarise(slowed(phase, factors)).ratio_median == pytest.approx(summarise(phase).ratio_median)


@given(phases)
def test_swapping_candidate_and_sentinel_inverts_the_ratio(phase: PhaseSamples) -> None:
    swapped = PhaseSamples(
        tuple(
            ProcessSamples(tuple(BlockSamples(b.sentinel_ms, b.candidate_ms, True) for b in process.blocks))
            for process in phase.processes
        )
    )
    product = summarise(phase).ratio_median * summarise(swapped).ratio_median
    assert product == pytest.approx(1.0, rel=1e-6)


def test_one_hiccup_in_one_block_is_ignored() -> None:
    calm = ProcessSamples(tuple(BlockSamples((5.0,) * 4, (10.0,) * 4, True) for _ in range(8)))
    hiccup = BlockSamples((5.0, 5.0, 900.0, 5.0), (10.0,) * 4, False)
    phase = PhaseSamples((calm, ProcessSamples((*calm.blocks[1:], hiccup))))
    assert summarise(phase).ratio_median == pytest.approx(0.5)


def test_more_blocks_in_one_process_do_not_make_it_surer_than_processes_differ() -> None:
    few = PhaseSamples((a_process(*[1.0] * 64), a_process(*[1.1] * 64)))
    many = PhaseSamples((a_process(*[1.0] * 256), a_process(*[1.1] * 256)))
    assert summarise(many).ratio_half_width == pytest.approx(summarise(few).ratio_half_width, rel=0.1)


def test_processes_that_disagree_widen_the_interval_and_more_processes_narrow_it() -> None:
    def width(*levels: float) -> float:
        return summarise(PhaseSamples(tuple(a_process(level) for level in levels))).ratio_half_width

    assert width(1.0, 1.2) > 1.5 * width(1.0, 1.01)
    assert width(1.0, 1.01, 1.0, 1.01) < width(1.0, 1.01)


def test_a_process_whose_blocks_scatter_widely_is_not_trusted() -> None:
    wild = a_process(0.5, 2.0, 0.4, 2.5)
    assert summarise(PhaseSamples((wild, wild))).ratio_half_width > 0.4


def test_one_hiccup_does_not_widen_the_interval() -> None:
    calm = [1.0, 1.02, 0.99, 1.01, 1.0, 0.98, 1.01, 0.99]
    hit = [*calm[:-1], 2.0]
    widths = [
        summarise(PhaseSamples((a_process(*each), a_process(*each)))).ratio_half_width for each in (calm, hit)
    ]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("spread", [0.5 * PRIOR_LOG_SPREAD, PRIOR_LOG_SPREAD])
def test_the_interval_holds_the_truth_at_least_93_times_in_100(count: int, spread: float) -> None:
    generator = random.Random(7)

    def holds() -> bool:
        phase = PhaseSamples(tuple(a_process(math.exp(generator.gauss(0, spread))) for _ in range(count)))
        summary = summarise(phase)
        return abs(math.log(summary.ratio_median)) <= math.log1p(summary.ratio_half_width)

    assert fmean(holds() for _ in range(1500)) >= 0.93


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.706), (2, 4.303), (4, 2.776), (5, 2.571), (7, 2.365), (10, 2.228), (30, 2.042)],
)
def test_student_t_matches_the_printed_tables(degrees: int, expected: float) -> None:
    assert student_t(0.975, degrees) == pytest.approx(expected, rel=3e-3)


def test_percentiles_interpolate() -> None:
    assert percentile([3.0], 95) == 3.0
    assert percentile([0.0, 10.0], 95) == pytest.approx(9.5)


def test_processes_that_disagree_are_unsettled_once_there_are_enough_to_tell() -> None:
    calm = PhaseSamples(tuple(a_process(level) for level in (1.0, 1.02, 0.99, 1.01)))
    disturbed = PhaseSamples((*calm.processes[:3], a_process(1.2)))
    assert not is_unsettled(calm)
    assert is_unsettled(disturbed)
    assert not is_unsettled(PhaseSamples(disturbed.processes[1:]))
    assert disagreement(PhaseSamples(calm.processes[:1])) == 0.0
