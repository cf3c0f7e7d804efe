"""A report's columns: a clear short title for each, and what their intervals mean."""

from serving import a_small_study

from search.objective import METRICS
from service.report_columns import SHORT_LABELS, columns_of
from service.study_file import read_study

SMALL = columns_of(read_study(a_small_study()))


def test_every_metric_has_a_short_title_of_its_own() -> None:
    assert set(SHORT_LABELS) == set(METRICS)
    assert len(set(SHORT_LABELS.values())) == len(METRICS)
    assert all(1 < len(title) <= 8 for title in SHORT_LABELS.values())
    assert all(column.short for column in SMALL)


def test_only_the_estimated_loss_has_an_error_that_all_candidates_share() -> None:
    assert [column.name for column in SMALL if column.error_is_shared] == ["estimated_relative_loss"]


def test_times_say_that_their_interval_is_the_ratios() -> None:
    assert all("interval is that of the ratio" in column.note for column in SMALL if column.unit == "ms")
