import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.errors import ComparisonError
from search.ranking import kendall_tau, repeatability, spearman

different_numbers = st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=30, unique=True)


@given(different_numbers)
def test_a_rising_transform_keeps_the_rank_correlation_at_one(numbers: list[float]) -> None:
    assert spearman(numbers, [number**3 for number in numbers]) == pytest.approx(1.0)


@given(different_numbers)
def test_a_falling_transform_gives_minus_one(numbers: list[float]) -> None:
    assert spearman(numbers, [-number for number in numbers]) == pytest.approx(-1.0)


def test_ties_share_their_mean_rank() -> None:
    # ranks 0.5 0.5 2 3 against 0 1 2 3: covariance 4.5, variances 4.5 and 5
    assert spearman([1, 1, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_a_constant_side_has_no_rank_correlation() -> None:
    assert spearman([1, 1, 1], [1, 2, 3]) is None


def test_repeatability_reports_the_median_relative_difference() -> None:
    agreement = repeatability([100, 200, 300], [110, 200, 303])
    assert agreement.rank_correlation == pytest.approx(1.0)
    assert agreement.median_relative_difference == pytest.approx(3 / 301.5)
    assert agreement.count == 3


@given(different_numbers, st.randoms())
def test_repeatability_does_not_depend_on_which_round_came_first(numbers: list[float], random) -> None:
    other = random.sample(numbers, len(numbers))
    assert repeatability(numbers, other) == repeatability(other, numbers)


@pytest.mark.parametrize(
    ("first", "second"), [([1, 2], [1, 2, 3]), ([1], [1]), ([], []), ([1, math.nan], [1, 2])]
)
def test_rounds_that_can_not_be_compared_are_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ComparisonError):
        spearman(first, second)


def test_kendall_tau_counts_pairs_ordered_alike_less_those_ordered_otherwise() -> None:
    assert kendall_tau([1, 2, 3, 4], [1, 2, 3, 4]) == 1
    assert kendall_tau([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert kendall_tau([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    assert kendall_tau([1, 2, 3], [1, 1, 2]) == pytest.approx(2 / 3)
