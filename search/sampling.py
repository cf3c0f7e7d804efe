"""Samples parameters without a model: evenly at a study's start, at random where the sampler is stuck."""

from collections.abc import Mapping

import numpy as np

from search.dimension import Dimension, Value


def start_up_parameters(
    dimensions: Mapping[str, Dimension], index: int, count: int, seed: int
) -> dict[str, Value]:
    """Return the `index`-th of `count` points of a Latin hypercube (McKay et al. 1979).

    Every dimension is cut into `count` strata and each is used once, so that ten start-up trials see each of
    five mixers twice.
    """
    random = np.random.default_rng([seed, count])
    found: dict[str, Value] = {}
    for name, dimension in dimensions.items():
        strata, within = random.permutation(count), random.random(count)
        found[name] = dimension.at(float((strata[index] + within[index]) / count))
    return found


def random_parameters(dimensions: Mapping[str, Dimension], random: np.random.Generator) -> dict[str, Value]:
    """Return an independent uniform value of every dimension."""
    return {name: dimension.at(float(random.random())) for name, dimension in dimensions.items()}
