"""The sentinel is fixed: whoever changes it must give it another version."""

from operators.cost import parameters
from service.sentinel import SENTINEL_VERSION, sentinel

DIGESTS = {"2": "85b5e3068155fbe8", "3": "85b5e3068155fbe8"}
"""Version 3 has the same architecture, in another graph."""


def test_the_sentinel_of_this_version_is_the_one_that_calibrations_were_taken_with() -> None:
    assert sentinel().digest.startswith(DIGESTS[SENTINEL_VERSION])


def test_the_sentinel_has_60_million_parameters_and_a_mixed_layout() -> None:
    assert abs(parameters(sentinel()).total / 60e6 - 1) < 0.01
    assert set(sentinel().layout) == {"C", "A"}
