import math

import pytest

from search.errors import MetricError
from search.objective import (
    METRICS,
    Constraint,
    Objective,
    objective_values,
    total_violation,
    violations,
)


def test_every_metric_is_registered_under_its_own_name() -> None:
    assert all(key == metric.name for key, metric in METRICS.items())
    assert all(metric.label and metric.direction in {"minimize", "maximize"} for metric in METRICS.values())


@pytest.mark.parametrize("text", ["recall_score", "estimated_relative_loss", "tpot_ms_p50@laptop"])
def test_an_objective_is_named_as_it_was_written(text: str) -> None:
    assert Objective.parse(text).name == text


def test_decode_has_a_metric_for_every_context() -> None:
    objective = Objective.parse("tpot_ms_p95_at_32768@phone")
    assert objective.name == "tpot_ms_p95_at_32768@phone"
    assert (objective.metric.context_tokens, objective.metric.unit) == (32768, "ms")
    for text in ("ttft_ms_p50_at_512@phone", "tpot_ms_p50_at_0@phone", "tpot_ms_p50_at_@phone"):
        with pytest.raises(MetricError, match="no metric"):
            Objective.parse(text)


def test_the_direction_comes_from_the_metric() -> None:
    assert Objective.parse("recall_score").direction == "maximize"
    assert Objective.parse("peak_rss_mb@phone").direction == "minimize"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("speed@laptop", "no metric 'speed'; use one of recall_score"),
        ("tpot_ms_p50", "write tpot_ms_p50@<target>"),
        ("tpot_ms_p50@", "nothing after '@'"),
        ("recall_score@laptop", "drop '@laptop'"),
    ],
)
def test_a_wrong_objective_is_refused_with_a_way_out(text: str, hint: str) -> None:
    with pytest.raises(MetricError, match=hint):
        Objective.parse(text)


@pytest.mark.parametrize("text", ["peak_rss_mb@laptop <= 160", "recall_score >= 0.6"])
def test_a_constraint_reads_back_as_it_was_written(text: str) -> None:
    assert str(Constraint.parse(text)) == text


def test_spaces_around_the_relation_do_not_matter() -> None:
    assert Constraint.parse(" peak_rss_mb@laptop<=1.6e2 ") == Constraint.parse("peak_rss_mb@laptop <= 160")


@pytest.mark.parametrize(
    "text",
    [
        "peak_rss_mb@laptop < 160",
        "peak_rss_mb@laptop",
        "peak_rss_mb <= 160",
        "peak_rss_mb@laptop <= many",
        "peak_rss_mb@laptop <= nan",
        "peak_rss_mb@laptop <= 1e999",
        "width@laptop <= 3",
    ],
)
def test_a_wrong_constraint_is_refused(text: str) -> None:
    with pytest.raises(MetricError):
        Constraint.parse(text)


@pytest.mark.parametrize(
    "text",
    ["recall_score >= 1.5", "recall_score <= -1", "ttft_ms_p50@laptop <= 0", "peak_rss_mb@laptop <= -5"],
)
def test_a_constraint_that_no_candidate_can_ever_meet_is_refused(text: str) -> None:
    with pytest.raises(MetricError, match="no candidate meets"):
        Constraint.parse(text)


def test_a_violation_is_a_share_of_the_bound_and_is_met_at_the_bound() -> None:
    limit = Constraint.parse("peak_rss_mb@laptop <= 160")
    assert limit.violation({"peak_rss_mb@laptop": 200.0}) == pytest.approx(0.25)
    assert limit.violation({"peak_rss_mb@laptop": 160.0}) == 0
    assert limit.violation({"peak_rss_mb@laptop": 120.0}) < 0
    assert Constraint.parse("recall_score >= 0.8").violation({"recall_score": 0.6}) == pytest.approx(0.25)


def test_a_constraint_that_is_missed_by_little_is_explained_with_the_digits_that_show_it() -> None:
    limit = Constraint.parse("peak_rss_mb@laptop <= 46.2")
    assert limit.explain({"peak_rss_mb@laptop": 46.22336}) == "peak_rss_mb@laptop 46.22 > 46.2 MB"
    assert limit.explain({"peak_rss_mb@laptop": 46.2}) is None


def test_a_violated_constraint_is_explained_in_words() -> None:
    both = (Constraint.parse("peak_rss_mb@laptop <= 160"), Constraint.parse("recall_score >= 0.6"))
    values = {"peak_rss_mb@laptop": 171.23, "recall_score": 0.7}
    assert violations(both, values) == ("peak_rss_mb@laptop 171.2 > 160 MB",)
    assert total_violation(both, values) == pytest.approx(11.23 / 160)


def test_a_missing_or_undefined_value_is_refused_by_name() -> None:
    objectives = (Objective.parse("recall_score"), Objective.parse("tpot_ms_p50@laptop"))
    with pytest.raises(MetricError, match="no value for tpot_ms_p50@laptop"):
        objective_values(objectives, {"recall_score": 0.5})
    with pytest.raises(MetricError, match="not a finite number"):
        objective_values(objectives, {"recall_score": math.nan, "tpot_ms_p50@laptop": 1.0})


def test_objective_values_come_in_the_order_of_the_objectives() -> None:
    objectives = (Objective.parse("tpot_ms_p50@laptop"), Objective.parse("recall_score"))
    assert objective_values(objectives, {"recall_score": 0.5, "tpot_ms_p50@laptop": 2.0}) == (2.0, 0.5)
