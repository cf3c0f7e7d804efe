"""Where every value lies between the worst and the best that was measured."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from reports.choosing import loss, measured_references, measured_trials, objective_columns
from reports.number_text import cell_text
from reports.rows import MetricColumn, StudyReport, TrialRow

MarkKind = Literal["outside", "beaten", "front", "knee", "reference"]
Goodness = Callable[[TrialRow, MetricColumn], float | None]
# Later ones are drawn over earlier ones.
DRAWING_ORDER: tuple[MarkKind, ...] = ("outside", "beaten", "front", "reference", "knee")


@dataclass(frozen=True)
class RangeMark:
    """One measured value on its objective's line; `place` is 0 at the worst and 1 at the best."""

    place: float
    kind: MarkKind
    words: str


@dataclass(frozen=True)
class ObjectiveRange:
    """One objective's line, with its ends and all that lies between them."""

    column: MetricColumn
    worst: float
    best: float
    marks: tuple[RangeMark, ...]


def objective_ranges(report: StudyReport) -> tuple[ObjectiveRange, ...]:
    """One line per objective that has values."""
    trials = measured_trials(report) + measured_references(report)
    goodness = goodness_within(report)
    lines = (_range(column, trials, goodness) for column in objective_columns(report))
    return tuple(line for line in lines if line is not None)


def goodness_within(report: StudyReport) -> Goodness:
    """How good a value is among all that were measured: 1 for the best, 0 for the worst."""
    ranges = {}
    for column in report.columns:
        losses = [loss(t.cells[column.name], column) for t in report.trials if column.name in t.cells]
        if losses:
            ranges[column.name] = (min(losses), max(losses))

    def goodness(trial: TrialRow, column: MetricColumn) -> float | None:
        if column.name not in trial.cells or column.name not in ranges:
            return None
        best, worst = ranges[column.name]
        return 1.0 if best == worst else (worst - loss(trial.cells[column.name], column)) / (worst - best)

    return goodness


def _range(column: MetricColumn, trials: tuple[TrialRow, ...], goodness: Goodness) -> ObjectiveRange | None:
    having = [trial for trial in trials if column.name in trial.cells]
    if not having:
        return None
    ordered = sorted(having, key=lambda trial: loss(trial.cells[column.name], column))
    marks = [
        RangeMark(goodness(trial, column) or 0.0, _kind(trial), _words(trial, column)) for trial in having
    ]
    return ObjectiveRange(
        column,
        worst=ordered[-1].cells[column.name].value,
        best=ordered[0].cells[column.name].value,
        marks=tuple(sorted(marks, key=lambda mark: DRAWING_ORDER.index(mark.kind))),
    )


def _kind(trial: TrialRow) -> MarkKind:
    if trial.kind == "reference":
        return "reference"
    if trial.knee:
        return "knee"
    if trial.violations:
        return "outside"
    return "front" if trial.on_front else "beaten"


def _words(trial: TrialRow, column: MetricColumn) -> str:
    name = trial.label or f"#{trial.number}"
    return f"{name}: {cell_text(trial.cells[column.name], column)} {column.unit}".strip()
