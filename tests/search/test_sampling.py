from collections import Counter

import numpy as np

from search.dimension import Choice, Fraction, Index
from search.sampling import random_parameters, start_up_parameters

DIMENSIONS = {"mixer": Choice(tuple("CASDL")), "width": Index(5), "depth": Fraction(1.0)}


def test_ten_start_up_points_hold_each_of_five_mixers_twice() -> None:
    points = [start_up_parameters(DIMENSIONS, index, 10, seed=3) for index in range(10)]
    assert set(Counter(point["mixer"] for point in points).values()) == {2}
    assert set(Counter(point["width"] for point in points).values()) == {2}
    assert sorted(int(float(point["depth"]) * 10) for point in points) == list(range(10))


def test_the_start_up_depends_on_the_seed_alone() -> None:
    first, again, other = (start_up_parameters(DIMENSIONS, 4, 10, seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_random_parameters_follow_their_generator() -> None:
    first, again = (random_parameters(DIMENSIONS, np.random.default_rng(5)) for _ in range(2))
    assert first == again
    assert first.keys() == DIMENSIONS.keys()
