"""References against the front, with respect for the intervals."""

import pytest

from reports.comparison import compare_references, difference, dominates
from reports.rows import Cell
from tests.reports.builders import RECALL_SCORE, RELATIVE_LOSS, TPOT, a_report, a_trial

COLUMNS = (RECALL_SCORE, TPOT)


def _trial(number: int, recall: float, tpot: float, **changes: object) -> object:
    cells = {RECALL_SCORE.name: Cell(recall), TPOT.name: Cell(tpot)}
    return a_trial(number, cells=cells, **changes)


def test_dominance_follows_each_metrics_direction() -> None:
    good, bad, mixed = _trial(0, 0.8, 10.0), _trial(1, 0.7, 11.0), _trial(2, 0.9, 12.0)
    assert dominates(good, bad, COLUMNS)
    assert not dominates(bad, good, COLUMNS)
    assert not dominates(good, mixed, COLUMNS)
    assert not dominates(good, good, COLUMNS)


def test_what_lacks_a_value_dominates_nothing() -> None:
    assert not dominates(a_trial(0, cells={TPOT.name: Cell(1.0)}), _trial(1, 0.1, 99.0), COLUMNS)


@pytest.mark.parametrize(
    ("cell", "verdict"),
    [
        (Cell(9.0, 8.9, 9.1), "better"),
        (Cell(11.0, 10.9, 11.1), "worse"),
        (Cell(9.9, 9.7, 10.1), "alike"),
    ],
)
def test_a_difference_inside_the_intervals_is_no_verdict(cell: Cell, verdict: str) -> None:
    assert difference(cell, Cell(10.0, 9.8, 10.2), TPOT).verdict == verdict


@pytest.mark.parametrize(
    ("cell", "verdict"),
    [
        (Cell(0.39, 0.37, 0.41), "better"),
        (Cell(0.41, 0.39, 0.43), "worse"),
        (Cell(0.39, 0.385, 0.395), "alike"),
    ],
)
def test_an_error_that_both_share_hides_a_difference_only_where_it_could_turn_it(
    cell: Cell, verdict: str
) -> None:
    assert difference(cell, Cell(0.40, 0.38, 0.42), RELATIVE_LOSS).verdict == verdict


def test_a_reference_meets_the_nearest_front_point_and_all_that_beat_it() -> None:
    trials = (
        _trial(0, 0.80, 10.0, on_front=True),
        _trial(1, 0.40, 5.0, on_front=True),
        _trial(2, 0.76, 10.4),
        _trial(3, 0.75, 10.5, kind="reference", label="known"),
    )
    (comparison,) = compare_references(a_report(0, trials=trials, columns=COLUMNS))
    assert comparison.nearest is trials[0]
    assert [trial.number for trial in comparison.dominated_by] == [0, 2]
    assert [each.verdict for each in comparison.differences] == ["better", "better"]


def test_a_reference_without_a_front_has_no_nearest_point() -> None:
    (comparison,) = compare_references(a_report(0, trials=(_trial(0, 0.5, 9.0, kind="reference"),)))
    assert comparison.nearest is None
    assert comparison.differences == ()
