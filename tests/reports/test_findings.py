"""The report's opening sentences say what the rows say."""

from reports.findings import findings, question
from tests.reports.builders import a_report, a_trial, an_empty_report


def test_the_counts_are_those_of_the_rows() -> None:
    report = a_report()
    front = sum(trial.on_front for trial in report.trials)
    assert findings(report)[0] == (
        f"34 candidates were measured on builder-laptop, and {front} of them are on the Pareto front of "
        "5 objectives; 2 measurements failed and are listed below."
    )


def test_a_crowded_front_is_called_weak_evidence() -> None:
    crowded = a_report(0, trials=tuple(a_trial(number, on_front=True) for number in range(6)))
    assert any("weak evidence" in sentence for sentence in findings(crowded))
    assert not any("weak evidence" in sentence for sentence in findings(a_report()))


def test_constraints_that_none_meets_are_told_with_the_closest_candidate() -> None:
    closest = a_trial(1, "CCA", closest=True, violations=("peak_rss_mb@laptop 111.8 > 100 MB",))
    missed = a_report(0, trials=(a_trial(0), closest), constraints=("peak_rss_mb@laptop <= 100",))
    assert findings(missed)[1] == (
        "None of them meets the constraints (peak_rss_mb@laptop <= 100), so the front is empty; "
        f"the closest is #1 (CCA, width {closest.hidden_size}): peak_rss_mb@laptop 111.8 > 100 MB."
    )
    assert not any("constraints" in sentence for sentence in findings(a_report()))


def test_candidates_outside_the_constraints_are_counted_beside_a_front() -> None:
    outside = a_trial(1, violations=("peak_rss_mb@laptop 111.8 > 100 MB",))
    some = a_report(
        0, trials=(a_trial(0, on_front=True), outside), constraints=("peak_rss_mb@laptop <= 100",)
    )
    assert findings(some)[1] == (
        "1 of them is outside the constraints (peak_rss_mb@laptop <= 100), so not on the front."
    )


def test_a_study_without_measurements_says_so_and_nothing_else() -> None:
    assert findings(an_empty_report()) == ("No candidate has been measured yet; 36 were asked for.",)


def test_repeats_are_told_with_the_raw_rank_beside_the_paired_one() -> None:
    (sentence,) = [each for each in findings(a_report()) if "second time" in each]
    assert "TPOT p50 0.96 (raw: 0.44)" in sentence


def test_a_reference_that_nothing_beats_is_told_as_such() -> None:
    alone = a_report(0, trials=(a_trial(0), a_trial(1, kind="reference", label="known", cells={})))
    assert "No measured candidate matches or beats known in every objective at once." in findings(alone)


def test_the_question_names_budget_precision_and_device() -> None:
    assert question(a_report()) == (
        "Which layout at 60 M parameters ± 1 % and int4 (block 32) weights suits laptop (builder-laptop)?"
    )
