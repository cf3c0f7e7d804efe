"""Every measured value has its place between the worst and the best."""

from reports.ranges import goodness_within, objective_ranges
from reports.rows import Cell
from tests.reports.builders import RECALL_SCORE, TPOT, a_report, a_trial, an_empty_report


def test_the_best_value_is_at_one_whichever_way_is_better() -> None:
    trials = (
        a_trial(0, cells={TPOT.name: Cell(10.0), RECALL_SCORE.name: Cell(0.4)}),
        a_trial(1, cells={TPOT.name: Cell(20.0), RECALL_SCORE.name: Cell(0.8)}),
    )
    goodness = goodness_within(a_report(0, trials=trials))
    assert [goodness(trial, TPOT) for trial in trials] == [1.0, 0.0]
    assert [goodness(trial, RECALL_SCORE) for trial in trials] == [0.0, 1.0]


def test_a_line_has_one_mark_per_measured_trial_and_reference() -> None:
    report = a_report()
    lines = objective_ranges(report)
    measured = sum(trial.state == "measured" for trial in report.trials)
    assert [len(line.marks) for line in lines] == [measured] * 5
    assert all(0 <= mark.place <= 1 for line in lines for mark in line.marks)


def test_values_that_are_all_equal_are_all_best() -> None:
    trial = a_trial(0, cells={TPOT.name: Cell(10.0)})
    assert goodness_within(a_report(0, trials=(trial,)))(trial, TPOT) == 1.0
    assert objective_ranges(an_empty_report()) == ()
