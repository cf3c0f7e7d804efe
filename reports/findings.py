"""What a study found, in a few honest sentences made from its rows."""

import statistics

from reports.choosing import (
    closest_miss,
    failed_trials,
    front_trials,
    knee_trial,
    measured_trials,
    objective_columns,
    outside_trials,
)
from reports.comparison import ReferenceComparison, compare_references
from reports.number_text import cell_text, percent_text, relative_half_width, spread_text, value_text
from reports.rows import MetricColumn, StudyReport, TrialRow

# Past this share of non-dominated candidates "on the front" alone says little.
CROWDED_FRONT_SHARE = 0.5


def findings(report: StudyReport) -> tuple[str, ...]:
    """The report's opening sentences; every number in them is taken from the rows."""
    if not measured_trials(report):
        return (f"No candidate has been measured yet; {report.requested_trials} were asked for.",)
    sentences = (
        _counts(report),
        constraints_missed(report),
        _crowding(report),
        _knee(report),
        _resolution(report),
        *(_reference(comparison) for comparison in compare_references(report)),
        _repeatability(report),
    )
    return tuple(sentence for sentence in sentences if sentence)


def question(report: StudyReport) -> str:
    """What was asked, in one line."""
    targets = ", ".join(f"{device.target} ({device.name})" for device in report.devices)
    budget = f"at {report.budget}" if report.budget else "of this space"
    return f"Which layout {budget} and {report.precision} weights suits {targets or 'no device yet'}?"


def _counts(report: StudyReport) -> str:
    measured, failed = len(measured_trials(report)), len(failed_trials(report))
    objectives, front = len(objective_columns(report)), len(front_trials(report))
    losses = f"; {_plural(failed, 'measurement')} failed and {'is' if failed == 1 else 'are'} listed below"
    on_front = (
        f", and {front} of them {'is' if front == 1 else 'are'} on the Pareto front of "
        f"{_plural(objectives, 'objective')}"
    )
    return (
        f"{_plural(measured, 'candidate')} {'was' if measured == 1 else 'were'} measured on "
        f"{_devices(report)}{on_front if front else ''}{losses if failed else ''}."
    )


def constraints_missed(report: StudyReport) -> str:
    """Say how many candidates miss the constraints, and how near the nearest came where all do; "" where none does."""
    outside, closest = len(outside_trials(report)), closest_miss(report)
    asked = _join(list(report.constraints))
    if closest is not None:
        return (
            f"None of them meets the constraints ({asked}), so the front is empty; "
            f"the closest is {_name(closest)}: {_join(list(closest.violations))}."
        )
    if not outside:
        return ""
    are = "is" if outside == 1 else "are"
    return f"{outside} of them {are} outside the constraints ({asked}), so not on the front."


def _crowding(report: StudyReport) -> str:
    front, measured = len(front_trials(report)), len(measured_trials(report))
    if measured < 4 or front / measured <= CROWDED_FRONT_SHARE:
        return ""
    return (
        f"With {len(objective_columns(report))} objectives {percent_text(front / measured)} of all "
        "candidates are beaten by none, so being on the front is weak evidence by itself: "
        "look at the trade-offs."
    )


def _knee(report: StudyReport) -> str:
    knee = knee_trial(report)
    if knee is None:
        return ""
    values = ", ".join(
        _measured_value(knee, column) for column in objective_columns(report) if column.name in knee.cells
    )
    return f"The knee, where a further gain begins to cost most elsewhere, is {_name(knee)}: {values}."


def _resolution(report: StudyReport) -> str:
    """The size below which a difference is not one."""
    parts = []
    for column in objective_columns(report):
        widths = [
            width
            for trial in measured_trials(report)
            if column.name in trial.cells and (width := relative_half_width(trial.cells[column.name]))
        ]
        if widths and column.unit == "ms":
            parts.append(f"± {percent_text(statistics.median(widths), 1)} for {column.label}")
    if not parts:
        return ""
    return f"The median 95 % interval is {' and '.join(parts)}; differences below that are not resolved."


def _reference(comparison: ReferenceComparison) -> str:
    beaten_by = comparison.dominated_by
    label = comparison.reference.label or f"reference #{comparison.reference.number}"
    if not beaten_by:
        return f"No measured candidate matches or beats {label} in every objective at once."
    who = _join([f"#{trial.number}" for trial in beaten_by[:5]])
    rest = f" and {len(beaten_by) - 5} more" if len(beaten_by) > 5 else ""
    return f"{label} is matched or beaten in every objective by {who}{rest}."


def _repeatability(report: StudyReport) -> str:
    parts = []
    for paired in (row for row in report.repeatability if row.kind == "paired"):
        raw = next((r for r in report.repeatability if r.kind == "raw" and r.metric == paired.metric), None)
        beside = f" (raw: {value_text(raw.rank_correlation, 2)})" if raw else ""
        parts.append(f"{paired.label} {value_text(paired.rank_correlation, 2)}{beside}")
    if not parts:
        return ""
    n = max(row.n for row in report.repeatability)
    return f"{_plural(n, 'candidate')} measured a second time kept their paired ranks at {_join(parts)}."


def _devices(report: StudyReport) -> str:
    return _join([device.name for device in report.devices]) or "no device"


def _name(trial: TrialRow) -> str:
    return f"#{trial.number} ({trial.layout}, width {trial.hidden_size})"


def _measured_value(trial: TrialRow, column: MetricColumn) -> str:
    cell = trial.cells[column.name]
    unit = f" {column.unit}" if column.unit else ""
    spread = f" {text}" if (text := spread_text(cell, column)) else ""
    return f"{column.label} {cell_text(cell, column)}{spread}{unit}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _join(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
