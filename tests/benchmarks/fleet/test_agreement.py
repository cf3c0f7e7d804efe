import math

import pytest

from tests.benchmarks.fleet.agreement import Reading, agreement, is_covered, spread


def a_round(*values: float, half_width: float | None = None) -> list[Reading]:
    return [Reading(value, half_width) for value in values]


def test_rounds_that_agree_have_no_difference_and_full_coverage() -> None:
    found = agreement([a_round(1.0, 2.0, 3.0, half_width=0.01)] * 3)
    assert (found.rank_correlation, found.median_difference, found.coverage) == (1.0, 0.0, 1.0)
    assert found.spread == 0.0


def test_the_rank_correlation_is_the_mean_over_the_pairs_of_rounds() -> None:
    up, down = a_round(1.0, 2.0, 3.0), a_round(3.0, 2.0, 1.0)
    assert agreement([up, up, down]).rank_correlation == pytest.approx((1 - 1 - 1) / 3)


def test_differences_are_relative_and_their_tail_is_told_beside_their_median() -> None:
    found = agreement([a_round(100.0, 100.0, 100.0, 50.0), a_round(102.0, 102.0, 102.0, 100.0)])
    assert found.median_difference == pytest.approx(0.02)
    assert found.p90_difference > 0.5


def test_an_interval_is_widened_by_the_square_root_of_two_before_it_must_hold_the_other_value() -> None:
    interval = Reading(1.0, 0.02)
    edge = math.exp(math.sqrt(2) * math.log1p(0.02))
    assert is_covered(interval, edge * 0.999)
    assert not is_covered(interval, edge * 1.001)
    assert is_covered(interval, 1.001 / edge)


def test_coverage_counts_both_rounds_intervals_and_is_none_without_any() -> None:
    wide, narrow = a_round(1.0, 1.0, half_width=0.1), a_round(1.05, 1.0, half_width=0.01)
    assert agreement([wide, narrow]).coverage == pytest.approx(3 / 4)
    assert agreement([a_round(1.0, 2.0), a_round(1.0, 2.0)]).coverage is None


def test_the_spread_is_one_candidates_standard_deviation_between_rounds() -> None:
    step = 0.03
    rounds = [a_round(math.exp(step * k), 7 * math.exp(-step * k)) for k in (-1, 0, 1)]
    assert spread(rounds) == pytest.approx(math.expm1(step))
