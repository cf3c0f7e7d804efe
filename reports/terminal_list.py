"""Candidates one below the other, for terminals that are too narrow for a table of them."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from reports.comparison import ReferenceComparison
from reports.number_text import cell_text, millions_text, percent_text, spread_text
from reports.rows import MetricColumn, TrialRow
from reports.terminal_text import arrow, caption, difference_text, layout_text, short_title


def trial_list(trials: Iterable[TrialRow], columns: tuple[MetricColumn, ...], title: str) -> RenderableType:
    """Every candidate with one line per objective."""
    listed = (_trial(trial, columns) for trial in trials)
    return Group(Text(title, "italic"), *listed, Text(f"\n{caption(columns)}", "dim italic"))


def reference_list(
    comparisons: Iterable[ReferenceComparison], columns: tuple[MetricColumn, ...], title: str
) -> RenderableType:
    """Every reference, and how the nearest front point differs from it."""
    return Group(Text(title, "italic"), *(_reference(each, columns) for each in comparisons))


def _reference(comparison: ReferenceComparison, columns: tuple[MetricColumn, ...]) -> RenderableType:
    parts: list[RenderableType] = [_trial(comparison.reference, columns)]
    if comparison.nearest is not None:
        parts.append(Text(f"  nearest on the front: {comparison.nearest.number}"))
    for difference in comparison.differences:
        parts.append(Text.assemble(f"    {short_title(difference.column)} ", difference_text(difference)))
    return Group(*parts)


def _trial(trial: TrialRow, columns: tuple[MetricColumn, ...]) -> Text:
    name = f"{'◆ ' if trial.knee else ''}{trial.number} "
    text = Text.assemble("\n", (name, "bold"), layout_text(trial.layout))
    if trial.label not in {"", trial.layout}:
        text.append(f" {trial.label}")
    ratio, effective = percent_text(trial.embedding_ratio, 1), millions_text(trial.effective_parameters)
    text.append(f"\n  embedding {ratio}, effective {effective}", "dim")
    for column in columns:
        if column.name in trial.cells:
            text.append("\n").append(_value(trial, column))
    return text


def _value(trial: TrialRow, column: MetricColumn) -> Text:
    cell = trial.cells[column.name]
    text = Text.assemble(f"  {short_title(column)} ", (cell_text(cell, column), "bold"))
    rest = (spread_text(cell, column), column.unit, arrow(column))
    return text.append(" " + " ".join(part for part in rest if part), "dim")
