"""How a reference compares with the front: which candidates beat it, and what the nearest one does better."""

from dataclasses import dataclass
from typing import Literal

from reports.choosing import front_trials, loss, measured_references, measured_trials, objective_columns
from reports.rows import Cell, MetricColumn, StudyReport, TrialRow

Verdict = Literal["better", "worse", "alike"]


@dataclass(frozen=True)
class Difference:
    """The front point against the reference in one metric; "alike" means that their intervals don't part them."""

    column: MetricColumn
    absolute: float
    relative: float | None
    verdict: Verdict


@dataclass(frozen=True)
class ReferenceComparison:
    """One reference, the nearest point of the front, and the measured candidates that dominate it."""

    reference: TrialRow
    nearest: TrialRow | None
    differences: tuple[Difference, ...]
    dominated_by: tuple[TrialRow, ...]


def compare_references(report: StudyReport) -> tuple[ReferenceComparison, ...]:
    """Every measured reference against the front."""
    return tuple(_compare(reference, report) for reference in measured_references(report))


def dominates(one: TrialRow, other: TrialRow, columns: tuple[MetricColumn, ...]) -> bool:
    """Whether `one` is nowhere worse and somewhere better; what lacks a value never dominates."""
    if not columns or any(c.name not in one.cells or c.name not in other.cells for c in columns):
        return False
    gaps = [loss(one.cells[c.name], c) - loss(other.cells[c.name], c) for c in columns]
    return all(gap <= 0 for gap in gaps) and any(gap < 0 for gap in gaps)


def difference(better: Cell, reference: Cell, column: MetricColumn) -> Difference:
    """`better` minus `reference`, with a verdict that respects both intervals."""
    absolute = better.value - reference.value
    relative = absolute / reference.value if reference.value else None
    return Difference(column, absolute, relative, _verdict(better, reference, column))


def _compare(reference: TrialRow, report: StudyReport) -> ReferenceComparison:
    columns = objective_columns(report)
    nearest = _nearest(reference, front_trials(report), columns, _ranges(report, columns))
    differences = () if nearest is None else _differences(nearest, reference, columns)
    allowed = (trial for trial in measured_trials(report) if not trial.violations)
    beaten_by = tuple(trial for trial in allowed if dominates(trial, reference, columns))
    return ReferenceComparison(reference, nearest, differences, beaten_by)


def _differences(
    nearest: TrialRow, reference: TrialRow, columns: tuple[MetricColumn, ...]
) -> tuple[Difference, ...]:
    return tuple(
        difference(nearest.cells[c.name], reference.cells[c.name], c)
        for c in columns
        if c.name in nearest.cells and c.name in reference.cells
    )


def _ranges(report: StudyReport, columns: tuple[MetricColumn, ...]) -> dict[str, float]:
    """The spread of each objective over all that was measured: what one unit of distance means."""
    ranges = {}
    for column in columns:
        values = [t.cells[column.name].value for t in measured_trials(report) if column.name in t.cells]
        ranges[column.name] = (max(values) - min(values) if values else 0.0) or 1.0
    return ranges


def _nearest(
    reference: TrialRow,
    front: tuple[TrialRow, ...],
    columns: tuple[MetricColumn, ...],
    ranges: dict[str, float],
) -> TrialRow | None:
    def distance(trial: TrialRow) -> float:
        shared = [c.name for c in columns if c.name in trial.cells and c.name in reference.cells]
        gaps = ((trial.cells[n].value - reference.cells[n].value) / ranges[n] for n in shared)
        return sum(gap * gap for gap in gaps)

    return min(front, key=distance, default=None)


def _verdict(one: Cell, other: Cell, column: MetricColumn) -> Verdict:
    if not (_parted_throughout(one, other) if column.error_is_shared else _parted(one, other)):
        return "alike"
    return "better" if loss(one, column) < loss(other, column) else "worse"


def _parted(one: Cell, other: Cell) -> bool:
    return _low(one) > _high(other) or _low(other) > _high(one)


def _parted_throughout(one: Cell, other: Cell) -> bool:
    """Whether one value is the smaller wherever in the intervals the unknown that both share lies."""
    gaps = (one.value - other.value, _low(one) - _low(other), _high(one) - _high(other))
    return min(gaps) > 0 or max(gaps) < 0


def _low(cell: Cell) -> float:
    return cell.value if cell.low is None else cell.low


def _high(cell: Cell) -> float:
    return cell.value if cell.high is None else cell.high
