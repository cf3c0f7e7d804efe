"""What the templates need of a study: its rows, sorted into what each section is about."""

from collections.abc import Callable
from dataclasses import dataclass

from reports.choosing import (
    failed_trials,
    front_trials,
    knee_trial,
    measured_references,
    measured_trials,
    objective_columns,
    outside_trials,
)
from reports.comparison import ReferenceComparison, compare_references
from reports.drawing import LayoutDrawing, draw_layout, widest_ffn
from reports.findings import constraints_missed, findings, question
from reports.ranges import ObjectiveRange, goodness_within, objective_ranges
from reports.rows import MetricColumn, RepeatRow, StudyReport, TrialRow


@dataclass(frozen=True)
class StudyView:
    """One study as the page shows it."""

    report: StudyReport
    question: str
    findings: tuple[str, ...]
    constraints_missed: str
    outside: tuple[TrialRow, ...]
    objectives: tuple[MetricColumn, ...]
    proxies: tuple[MetricColumn, ...]
    front: tuple[TrialRow, ...]
    measured: tuple[TrialRow, ...]
    references: tuple[TrialRow, ...]
    failed: tuple[TrialRow, ...]
    knee: TrialRow | None
    comparisons: tuple[ReferenceComparison, ...]
    repeats: tuple[tuple[RepeatRow | None, RepeatRow | None], ...]
    ranges: tuple[ObjectiveRange, ...]
    drawing: Callable[[TrialRow], LayoutDrawing]
    goodness: Callable[[TrialRow, MetricColumn], float | None]

    @property
    def is_running(self) -> bool:
        """Whether the page should keep looking for news."""
        return self.report.finished_at is None and self.report.state not in FINAL_STATES


FINAL_STATES = frozenset({"finished", "cancelled", "failed", "done", "completed"})


def view_of(report: StudyReport) -> StudyView:
    """Sort a report's rows into the page's sections."""
    widest = widest_ffn(report.trials)
    return StudyView(
        report=report,
        question=question(report),
        findings=findings(report),
        constraints_missed=constraints_missed(report),
        outside=outside_trials(report),
        objectives=objective_columns(report),
        proxies=tuple(column for column in report.columns if column.is_proxy),
        front=front_trials(report),
        measured=measured_trials(report),
        references=measured_references(report),
        failed=failed_trials(report),
        knee=knee_trial(report),
        comparisons=compare_references(report),
        repeats=_raw_beside_paired(report.repeatability),
        ranges=objective_ranges(report),
        drawing=lambda trial: draw_layout(trial, widest),
        goodness=goodness_within(report),
    )


def _raw_beside_paired(
    rows: tuple[RepeatRow, ...],
) -> tuple[tuple[RepeatRow | None, RepeatRow | None], ...]:
    metrics = dict.fromkeys(row.metric for row in rows)
    found = {(row.metric, row.kind): row for row in rows}
    return tuple((found.get((metric, "raw")), found.get((metric, "paired"))) for metric in metrics)
