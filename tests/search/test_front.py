import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.errors import ComparisonError
from search.front import (
    constrained_front,
    hypervolume,
    knee,
    least_violation,
    non_dominated,
    reference_point,
)
from search.objective import Direction

BOTH_DOWN: tuple[Direction, ...] = ("minimize", "minimize")
MIXED: tuple[Direction, ...] = ("maximize", "minimize", "minimize")

coordinates = st.integers(min_value=-5, max_value=5).map(float)
points_of_three = st.lists(st.tuples(coordinates, coordinates, coordinates), max_size=25)
planar_points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=25)


def dominates(a: tuple[float, ...], b: tuple[float, ...], directions: tuple[Direction, ...]) -> bool:
    signs = [-1 if direction == "maximize" else 1 for direction in directions]
    losses = [(sign * x, sign * y) for sign, x, y in zip(signs, a, b, strict=True)]
    return all(x <= y for x, y in losses) and any(x < y for x, y in losses)


def area_below(points: list[tuple[float, float]], reference: tuple[float, float]) -> float:
    """The exact area dominated in two dimensions, both minimised: one strip per step of the staircase."""
    area, ceiling = 0.0, reference[1]
    for x, y in sorted(points):
        if x < reference[0] and y < ceiling:
            area += (reference[0] - x) * (ceiling - y)
            ceiling = y
    return area


@given(points_of_three)
def test_a_point_is_on_the_front_exactly_when_nothing_dominates_it(
    points: list[tuple[float, float, float]],
) -> None:
    expected = tuple(
        index for index, point in enumerate(points) if not any(dominates(p, point, MIXED) for p in points)
    )
    assert non_dominated(points, MIXED) == expected


def test_equal_points_are_all_on_the_front() -> None:
    assert non_dominated([(1, 2), (1, 2), (0, 3), (2, 2)], BOTH_DOWN) == (0, 1, 2)


def test_no_points_give_an_empty_front_and_no_volume() -> None:
    assert non_dominated([], BOTH_DOWN) == ()
    assert hypervolume([], BOTH_DOWN, (1.0, 1.0)) == 0.0
    assert knee([], BOTH_DOWN) is None


@given(planar_points)
def test_hypervolume_equals_the_exact_area_in_two_dimensions(points: list[tuple[float, float]]) -> None:
    assert hypervolume(points, BOTH_DOWN, (3.0, 2.0)) == pytest.approx(area_below(points, (3.0, 2.0)))


def test_hypervolume_agrees_with_random_sampling_in_five_dimensions() -> None:
    random = np.random.default_rng(11)
    directions: tuple[Direction, ...] = ("maximize", "minimize", "minimize", "minimize", "minimize")
    points = random.uniform(0, 1, (12, 5))
    gains = np.column_stack([points[:, 0], 1 - points[:, 1:]])
    samples = random.uniform(0, 1, (40_000, 5))
    covered = (samples[:, None, :] <= gains[None, :, :]).all(axis=2).any(axis=1).mean()
    volume = hypervolume(points.tolist(), directions, (0.0, 1.0, 1.0, 1.0, 1.0))
    assert volume == pytest.approx(covered, abs=0.01)


@given(points_of_three, st.tuples(coordinates, coordinates, coordinates))
def test_another_point_never_takes_hypervolume_away(
    points: list[tuple[float, float, float]], another: tuple[float, float, float]
) -> None:
    reference = (-5.0, 5.0, 5.0)
    before = hypervolume(points, MIXED, reference)
    assert hypervolume([*points, another], MIXED, reference) >= before - 1e-9


@given(points_of_three.filter(bool))
def test_the_reference_point_is_worse_than_every_start_up_point(
    points: list[tuple[float, float, float]],
) -> None:
    reference = reference_point(points, MIXED)
    assert all(dominates(point, reference, MIXED) for point in points)
    assert hypervolume(points, MIXED, reference) > 0


def test_a_reference_point_needs_a_measured_point() -> None:
    with pytest.raises(ComparisonError, match="at least one"):
        reference_point([], BOTH_DOWN)


def test_the_knee_is_the_balanced_point_of_the_front() -> None:
    points = [(0.0, 100.0), (9.0, 90.0), (2.0, 20.0), (10.0, 0.0), (3.0, 30.0)]
    assert knee(points, BOTH_DOWN) == 2


def test_one_point_is_its_own_knee() -> None:
    assert knee([(4.0, 4.0)], BOTH_DOWN) == 0


def test_the_front_holds_feasible_points_only() -> None:
    front = constrained_front([(0, 0), (1, 2), (2, 1), (3, 3)], BOTH_DOWN, [0.5, 0.0, -0.1, 0.0])
    assert (front.indices, front.feasible) == ((1, 2), True)


def test_without_a_feasible_point_the_least_violating_ones_stand_in() -> None:
    front = constrained_front([(0, 0), (1, 2), (2, 1)], BOTH_DOWN, [0.5, 0.2, 0.2])
    assert (front.indices, front.feasible) == ((1, 2), False)
    assert least_violation([]) == ()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ComparisonError, match="point 1"):
        non_dominated([(1.0, 1.0), (bad, 1.0)], BOTH_DOWN)


def test_a_point_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ComparisonError, match="2 values, not 3"):
        non_dominated([(1.0, 1.0)], MIXED)


def test_a_violation_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ComparisonError):
        constrained_front([(1.0, 1.0)], BOTH_DOWN, [math.nan])
