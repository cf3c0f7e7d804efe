import math

import pytest

from search.errors import ComparisonError
from search.observation import Observation


def test_an_exact_observation_has_no_width() -> None:
    assert Observation.exact(3.0).relative_half_width == 0
    assert Observation.exact(0.0).relative_half_width == 0


def test_an_observation_within_four_percent_says_so() -> None:
    paired = Observation.within(50.0, 0.04, raw=55.0)
    assert (paired.low, paired.high, paired.raw) == (48.0, 52.0, 55.0)
    assert paired.relative_half_width == pytest.approx(0.04)


def test_the_wider_side_counts() -> None:
    assert Observation(10.0, 9.0, 13.0).relative_half_width == pytest.approx(0.3)


def test_overlapping_intervals_may_be_noise() -> None:
    assert Observation.within(100.0, 0.02).overlaps(Observation.within(103.0, 0.02))
    assert not Observation.within(100.0, 0.01).overlaps(Observation.within(103.0, 0.01))


@pytest.mark.parametrize(
    "numbers", [(1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (math.nan, 0.0, 1.0), (1.0, 0.0, math.inf)]
)
def test_an_interval_that_does_not_hold_its_value_is_refused(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ComparisonError):
        Observation(*numbers)
