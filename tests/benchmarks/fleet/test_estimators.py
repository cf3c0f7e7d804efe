import math
import random
from collections.abc import Sequence

import pytest

from devices.outcome import BlockSamples, PhaseSamples, ProcessSamples
from devices.summary import summarise
from tests.benchmarks.fleet.estimators import (
    ESTIMATORS,
    Use,
    hodges_lehmann,
    median_of_block_ratios,
    ratio_by_regression,
    ratio_of_medians,
    raw_median,
    regrouped,
    trimmed_mean_of_block_logs,
)

PAIRED = [name for name in ESTIMATORS if not name.startswith("raw")]


def a_process(ratio: float, moods: Sequence[float], steps: int = 4) -> ProcessSamples:
    """Blocks in which candidate and sentinel suffer alike from the machine's mood."""
    return ProcessSamples(
        tuple(
            BlockSamples(
                tuple(ratio * mood * (1 + step / 100) for step in range(steps)),
                tuple(mood * (1 + step / 100) for step in range(steps)),
                candidate_first=True,
            )
            for mood in moods
        )
    )


def a_phase(ratio: float = 1.5, processes: int = 3) -> PhaseSamples:
    draw = random.Random(1)
    moods = [[draw.uniform(1, 2) for _ in range(6)] for _ in range(processes)]
    return PhaseSamples(tuple(a_process(ratio, each) for each in moods))


@pytest.mark.parametrize("name", PAIRED)
def test_every_paired_estimator_finds_the_ratio_whatever_the_mood_of_the_machine(name: str) -> None:
    assert ESTIMATORS[name].value(a_phase(1.5)) == pytest.approx(1.5)


def test_the_median_of_block_ratios_is_what_the_devices_report() -> None:
    phase = a_phase()
    noisy = PhaseSamples((*phase.processes, a_process(1.7, [1.0, 1.1, 1.2])))
    assert Use(median_of_block_ratios).value(noisy) == pytest.approx(summarise(noisy).ratio_median)


def test_steps_are_regrouped_in_their_order_and_what_fills_no_block_is_left_out() -> None:
    process = a_process(2.0, [1.0, 10.0], steps=4)
    blocks = regrouped(process, 3)
    assert [len(block) for block in blocks] == [3, 3]
    assert [round(other, 2) for _, other in blocks[1]] == [1.03, 10.0, 10.1]
    assert regrouped(process, 0) == regrouped(process, 4)
    assert len(regrouped(process, 1)) == 8


def test_only_the_first_processes_and_blocks_are_used_where_fewer_are_asked() -> None:
    phase = PhaseSamples((a_process(1.0, [1.0, 1.0]), a_process(4.0, [1.0, 1.0])))
    assert Use(median_of_block_ratios, processes=1).value(phase) == pytest.approx(1.0)
    assert Use(median_of_block_ratios).value(phase) == pytest.approx(2.0)
    mixed = PhaseSamples((ProcessSamples((*phase.processes[0].blocks[:1], *phase.processes[1].blocks)),))
    assert Use(median_of_block_ratios, blocks=1).value(mixed) == pytest.approx(1.0)


def test_a_hiccup_in_one_block_moves_no_robust_estimator() -> None:
    blocks = [[(1.5, 1.0)]] * 8 + [[(90.0, 1.0)]]
    for robust in (
        median_of_block_ratios,
        hodges_lehmann,
        trimmed_mean_of_block_logs,
        ratio_of_medians,
        raw_median,
    ):
        assert robust(blocks) == pytest.approx(1.5)
    assert ratio_by_regression(blocks) > 5


def test_hodges_lehmann_is_the_median_of_the_pairs_means() -> None:
    blocks = [[(math.exp(log), 1.0)] for log in (0.0, 1.0, 5.0)]
    assert math.log(hodges_lehmann(blocks)) == pytest.approx(1.75)  # of 0, 0.5, 1, 2.5, 3, 5
