"""What was measured, as CSV and JSON for other programs; predicted or unfinished trials are never exported."""

import csv
import io
import json
from typing import Any

from reports.choosing import front_trials, measured_references, measured_trials
from reports.encoding import rows_to_plain
from reports.rows import Cell, MetricColumn, StudyReport, TrialRow

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def front_csv(report: StudyReport) -> str:
    """The Pareto front, one line per candidate; times are paired, `.raw` stands beside them."""
    return _csv(front_trials(report), report.columns)


def trials_csv(report: StudyReport) -> str:
    """Every measured candidate and reference, one line each."""
    return _csv(measured_trials(report) + measured_references(report), report.columns)


def front_json(report: StudyReport) -> str:
    """The Pareto front with its columns, workload, devices and provenance."""
    return json.dumps({**_circumstances(report), "front": rows_to_plain(front_trials(report))}, indent=1)


def trials_json(report: StudyReport) -> str:
    """Every measured candidate and reference with their columns, workload, devices and provenance."""
    trials = measured_trials(report) + measured_references(report)
    return json.dumps({**_circumstances(report), "trials": rows_to_plain(trials)}, indent=1)


def _circumstances(report: StudyReport) -> dict[str, Any]:
    return {
        "study": report.name,
        "created_at": report.created_at,
        "budget": report.budget,
        "precision": report.precision,
        "workload": dict(report.workload),
        "columns": rows_to_plain(report.columns),
        "reference_point": dict(report.reference_point),
        "devices": rows_to_plain(report.devices),
        "provenance": dict(report.provenance),
        "caveats": list(report.caveats),
    }


def _csv(trials: tuple[TrialRow, ...], columns: tuple[MetricColumn, ...]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=_heads(columns), extrasaction="raise")
    writer.writeheader()
    writer.writerows(_flat(trial, columns) for trial in trials)
    return text.getvalue()


def _heads(columns: tuple[MetricColumn, ...]) -> list[str]:
    values = [f"{column.name}{part}" for column in columns for part in ("", ".low", ".high", ".raw")]
    return [*_TRIAL_HEADS, *values]


_TRIAL_HEADS = (
    "number",
    "kind",
    "label",
    "layout",
    "knee",
    "on_front",
    "hidden_size",
    "ffn_widths",
    "total_parameters",
    "effective_parameters",
    "embedding_ratio",
    "recall_pattern",
    "digest",
)


def _flat(trial: TrialRow, columns: tuple[MetricColumn, ...]) -> dict[str, object]:
    widths = " ".join(str(width) for width in dict.fromkeys(block.ffn_width for block in trial.blocks))
    own = {name: getattr(trial, name) for name in _TRIAL_HEADS if name != "ffn_widths"}
    flat: dict[str, object] = {**own, "ffn_widths": widths}
    for column in columns:
        flat |= _cell_fields(column, trial.cells.get(column.name))
    return {name: _safe(value) for name, value in flat.items()}


def _cell_fields(column: MetricColumn, cell: Cell | None) -> dict[str, object]:
    if cell is None:
        return {}
    parts = {"": cell.value, ".low": cell.low, ".high": cell.high, ".raw": cell.raw}
    return {f"{column.name}{part}": value for part, value in parts.items()}


def _safe(value: object) -> object:
    """Keep a text that a spreadsheet would run as a formula a text; write truth as other programs do."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
