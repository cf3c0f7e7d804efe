"""The quality proxies with their uncertainty."""

import pytest

from search.quality.recall import RecallScore
from service.quality_scores import recall_with_interval


@pytest.mark.parametrize(("seeds", "half_width"), [(1, 0.0588), (4, 0.0294)])
def test_a_pattern_trained_with_several_seeds_is_known_better_by_their_square_root(
    seeds: int, half_width: float
) -> None:
    found = recall_with_interval(RecallScore("CACA", 0.8, 0.03, seeds, "table"))
    assert found.high - found.value == pytest.approx(half_width)
    assert found.value - found.low == pytest.approx(half_width)


def test_no_interval_leaves_what_an_accuracy_can_be() -> None:
    assert recall_with_interval(RecallScore("CACA", 0.98, 0.03, 1, "table")).high == 1.0
    assert recall_with_interval(RecallScore("CCCC", 0.02, 0.03, 1, "table")).low == 0.0
