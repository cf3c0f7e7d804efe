"""Which rows are measured, on the front, references or failed."""

from reports.choosing import (
    best_trial,
    failed_trials,
    front_trials,
    knee_trial,
    measured_references,
    measured_trials,
)
from tests.reports.builders import RECALL_SCORE, TPOT, a_report, a_trial


def test_only_what_was_measured_is_on_the_front() -> None:
    unmeasured = (a_trial(0, state="running", on_front=True), a_trial(1, kind="reference", on_front=True))
    assert front_trials(a_report(0, trials=unmeasured)) == ()


def test_the_front_is_ordered_by_its_first_objective() -> None:
    scores = [trial.cells[RECALL_SCORE.name].value for trial in front_trials(a_report())]
    assert scores == sorted(scores, reverse=True)


def test_every_trial_is_counted_in_one_place() -> None:
    report = a_report()
    places = (measured_trials(report), measured_references(report), failed_trials(report))
    assert sum(len(place) for place in places) == len(report.trials)


def test_the_best_trial_follows_the_metrics_direction() -> None:
    trials = measured_trials(a_report())
    assert best_trial(trials, TPOT) == min(trials, key=lambda trial: trial.cells[TPOT.name].value)
    assert best_trial((), TPOT) is None


def test_the_knee_is_one_of_the_front() -> None:
    report = a_report()
    assert knee_trial(report) in front_trials(report)
