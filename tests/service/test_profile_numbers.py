"""Slopes, ratios and shares with their errors, checked against drawing the same errors at random."""

import math
import random
from statistics import quantiles

import pytest

from devices.outcome import TeamReading
from search.observation import Observation
from service.profile_numbers import (
    bandwidth_share,
    best_bandwidth,
    per_second,
    ratio,
    seconds_left,
    slope,
    usual_bandwidth,
)


def drawn_interval(
    draw: "random.Random", numbers: list[Observation], combine: "object"
) -> tuple[float, float]:
    """The middle 95 % of what comes out when every number is drawn from its own interval."""
    values = []
    for _ in range(40_000):
        sample = [draw.gauss(each.value, (each.high - each.value) / 1.96) for each in numbers]
        values.append(combine(*sample))  # type: ignore[operator]
    cuts = quantiles(values, n=40)
    return cuts[0], cuts[-1]


def test_what_a_further_copy_adds_is_a_quarter_of_what_four_add() -> None:
    few, many = Observation.within(10.0, 0.02, raw=11.0), Observation.within(22.0, 0.02, raw=23.4)
    found = slope(few, many, (2, 6))
    assert found.value == pytest.approx(3.0)
    assert found.raw == pytest.approx(3.1)
    assert (found.high - found.value) == pytest.approx(math.hypot(0.2, 0.44) / 4)
    assert (found.value - found.low) == pytest.approx(found.high - found.value)


def test_the_interval_of_a_slope_is_that_of_drawing_its_errors() -> None:
    few, many = Observation.within(10.0, 0.03), Observation.within(22.0, 0.03)
    found = slope(few, many, (2, 6))
    low, high = drawn_interval(random.Random(1), [few, many], lambda a, b: (b - a) / 4)
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.02)


def test_the_interval_of_a_ratio_is_that_of_drawing_its_errors() -> None:
    one, other = Observation.within(9.0, 0.05), Observation.within(3.0, 0.08)
    found = ratio(one, other)
    assert found is not None
    low, high = drawn_interval(random.Random(2), [one, other], lambda a, b: a / b)
    assert (found.low, found.value, found.high) == pytest.approx((low, 3.0, high), rel=0.02)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Observation(1.0, -0.1, 2.1), Observation.within(1.0, 0.1)),
        (Observation.within(1.0, 0.1), Observation(1.0, 0.0, 2.0)),
        (Observation(-0.5, -1.0, 0.0), Observation.within(1.0, 0.1)),
    ],
)
def test_there_is_no_ratio_of_what_cannot_be_told_from_nothing(one: Observation, other: Observation) -> None:
    assert ratio(one, other) is None


def test_a_slope_below_nothing_is_told_as_it_is() -> None:
    found = slope(Observation.within(10.0, 0.2), Observation.within(9.0, 0.2), (2, 6))
    assert found.value == pytest.approx(-0.25)
    assert found.low < found.value < 0 < found.high


def test_speeds_turn_a_times_interval_around() -> None:
    found = per_second(Observation(20.0, 19.0, 22.0, raw=25.0), 1)
    assert (found.low, found.value, found.high, found.raw) == pytest.approx((1e3 / 22, 50.0, 1e3 / 19, 40.0))
    assert per_second(Observation.exact(2000.0), 512).value == 256.0


def test_the_share_of_the_bandwidth_is_the_least_time_over_the_time() -> None:
    found = bandwidth_share(Observation(20.0, 16.0, 25.0), moved_bytes=100e6, bytes_per_second=10e9)
    assert found is not None
    assert (found.low, found.value, found.high) == pytest.approx((0.4, 0.5, 0.625))
    faster = bandwidth_share(Observation.exact(5.0), 100e6, 10e9)
    assert faster is not None
    assert faster.value == pytest.approx(2.0), "what can't be is told, not cut off"
    assert bandwidth_share(Observation(1.0, 0.0, 2.0), 100e6, 10e9) is None


def test_a_ceiling_is_the_fastest_reading() -> None:
    team = TeamReading(1, 10**9, (100.0, 125.0, 200.0))
    assert (best_bandwidth(team), usual_bandwidth(team)) == (10e9, 8e9)


def test_the_rest_takes_as_long_as_what_was_measured_says() -> None:
    assert seconds_left([], 100.0, None) is None
    assert seconds_left([(10.0, 20.0), (20.0, 40.0)], 50.0, None) == 100.0
    assert seconds_left([(10.0, 20.0)], 50.0, (15.0, 10.0)) == 120.0
    assert seconds_left([(10.0, 20.0)], 0.0, (15.0, 90.0)) == 0.0, "longer than foretold: any moment now"
