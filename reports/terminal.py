"""The front, the references, a measurement and a study's progress as rich renderables for 80 columns and more."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reports.choosing import front_trials, objective_columns
from reports.comparison import ReferenceComparison, compare_references
from reports.findings import constraints_missed
from reports.number_text import (
    NOTHING,
    band_text,
    cell_text,
    duration_text,
    heading_text,
    interval_text,
    millions_text,
    percent_text,
    spread_text,
    value_text,
)
from reports.rows import Cell, MeasurementReport, MetricColumn, ProgressRow, StudyReport, TrialRow
from reports.terminal_list import reference_list, trial_list
from reports.terminal_text import arrow, caption, difference_text, layout_text, short_title

# From here on a value and its spread fit into one line of a table with five objectives.
WIDE_COLUMNS = 128
# What a table needs beside its objectives, and for each of them.
TABLE_COLUMNS, OBJECTIVE_COLUMNS = 28, 9
FRONT_TITLE = "Pareto front"
REFERENCES_TITLE = "References, and the nearest front point against each"
SPARKS = "▁▂▃▄▅▆▇█"


def front_table(report: StudyReport) -> RenderableType:
    """The Pareto front: layout, embedding ratio, effective parameters, every objective with its spread.

    Where no candidate meets the constraints there is none, and a sentence says so.
    """
    trials, columns = front_trials(report), objective_columns(report)
    if not trials and (missed := constraints_missed(report)):
        return Text(missed, style="bold")
    return _ByWidth(
        columns,
        lambda wide: _trial_table(trials, columns, FRONT_TITLE, wide),
        lambda: trial_list(trials, columns, FRONT_TITLE),
    )


def references_table(report: StudyReport) -> RenderableType:
    """Every reference, and below it how the nearest front point differs from it."""
    columns = objective_columns(report)
    return _ByWidth(
        columns,
        lambda wide: _references_table(report, wide),
        lambda: reference_list(compare_references(report), columns, REFERENCES_TITLE),
    )


def repeatability_table(report: StudyReport) -> Table:
    """How well raw and paired values repeated when candidates were measured again."""
    table = Table(title="Measured again", box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading in ("Metric", "Kind", "n", "Rank correlation", "Median difference"):
        justify: Literal["left", "right"] = "left" if heading in {"Metric", "Kind"} else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for row in report.repeatability:
        rank, change = value_text(row.rank_correlation, 2), percent_text(row.median_difference, 1)
        table.add_row(
            row.label, row.kind, str(row.n), rank, change, style="bold" if row.kind == "paired" else ""
        )
    return table


def measurement_table(measurement: MeasurementReport) -> RenderableType:
    """One measured architecture: its drawing, its values with intervals and raw times, or why it failed."""
    trial = measurement.trial
    heads = [
        Text.assemble((trial.label or trial.layout, "bold"), f" on {measurement.device.name}"),
        layout_text(trial.layout),
        Text(_shape_text(trial), style="dim"),
    ]
    body = _values_table(trial, measurement.columns) if trial.cells else _failure(trial)
    workload = ", ".join(f"{value} {name}" for name, value in measurement.workload.items())
    told = [*trial.flags, measurement.note]
    notes = [Text(note, style="yellow") for note in told if note]
    return Group(*heads, body, *notes, Text(f"{measurement.precision}; {workload}", style="dim"))


def progress_panel(progress: ProgressRow) -> RenderableType:
    """Where a study stands: a bar, the front so far, what is under way, an honest band for the time left."""
    lines: list[RenderableType] = [_bar(progress), _standing(progress), _clock(progress)]
    lines += [_current(now.number, now.layout, now.step) for now in progress.current]
    if progress.last_finished is not None:
        lines.append(_last_finished(progress.last_finished, progress.columns))
    if progress.message:
        lines.append(Text(progress.message, style="dim"))
    title = Text.assemble((progress.study, "bold"), f" {progress.state}")
    return Panel(Group(*lines), title=title, title_align="left", box=box.ROUNDED, border_style="dim")


@dataclass(frozen=True)
class _ByWidth:
    """A renderable that is laid out anew for the width it is given: a wide table, a tight one, or a list."""

    columns: tuple[MetricColumn, ...]
    as_table: Callable[[bool], RenderableType]
    as_list: Callable[[], RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrowest = TABLE_COLUMNS + OBJECTIVE_COLUMNS * len(self.columns)
        fits = options.max_width >= narrowest
        yield self.as_table(options.max_width >= WIDE_COLUMNS) if fits else self.as_list()


def _trial_table(
    trials: Iterable[TrialRow], columns: tuple[MetricColumn, ...], title: str, wide: bool
) -> Table:
    table = _table(title, columns, wide)
    table.caption = caption(columns)
    for trial in trials:
        cells = [_value(trial.cells.get(column.name), column, wide) for column in columns]
        table.add_row(
            ("◆" if trial.knee else "") + str(trial.number),
            layout_text(trial.layout),
            _sizes(trial, wide),
            *cells,
        )
    return table


def _references_table(report: StudyReport, wide: bool) -> Table:
    columns = objective_columns(report)
    table = _table(REFERENCES_TITLE, columns, wide)
    for comparison in compare_references(report):
        reference = comparison.reference
        name = Text.assemble(layout_text(reference.layout), f"\n{reference.label}")
        cells = [_value(reference.cells.get(column.name), column, wide) for column in columns]
        table.add_row(str(reference.number), name, _sizes(reference, wide), *cells)
        _add_nearest(table, comparison, columns)
    return table


def _add_nearest(table: Table, comparison: ReferenceComparison, columns: tuple[MetricColumn, ...]) -> None:
    if comparison.nearest is None:
        return
    found = {difference.column.name: difference for difference in comparison.differences}
    marks = [difference_text(found.get(column.name)) for column in columns]
    nearest = comparison.nearest
    table.add_row(
        str(nearest.number), layout_text(nearest.layout), Text("nearest", "dim"), *marks, end_section=True
    )


def _table(title: str, columns: tuple[MetricColumn, ...], wide: bool) -> Table:
    table = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("#", justify="right")
    table.add_column("Layout", overflow="fold")
    table.add_column("Embedding\neffective", justify="right")
    for column in columns:
        heading = column.label if wide else short_title(column)
        table.add_column(f"{heading}\n{column.unit} {arrow(column)}", justify="right", vertical="top")
    return table


def _sizes(trial: TrialRow, wide: bool) -> Text:
    between = " " if wide else "\n"
    return Text(
        f"{percent_text(trial.embedding_ratio, 1)}{between}{millions_text(trial.effective_parameters)}"
    )


def _value(cell: Cell | None, column: MetricColumn, wide: bool) -> Text:
    if cell is None:
        return Text(NOTHING, "dim")
    text = Text(cell_text(cell, column), "bold")
    if spread := spread_text(cell, column):
        text.append(f"{' ' if wide else chr(10)}{spread}", style="not bold dim")
    return text


def _values_table(trial: TrialRow, columns: tuple[MetricColumn, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Metric")
    for heading in ("Value", "95 % interval", "Raw"):
        table.add_column(heading, justify="right")
    for column in columns:
        cell = trial.cells.get(column.name)
        raw = value_text(cell.raw, column.digits) if cell else NOTHING
        proxy = " (proxy)" if column.is_proxy else ""
        value = Text(cell_text(cell, column), "bold")
        table.add_row(heading_text(column) + proxy, value, interval_text(cell, column) or NOTHING, raw)
    return table


def _failure(trial: TrialRow) -> RenderableType:
    lines: list[RenderableType] = [
        Text.assemble((trial.outcome or trial.state, "bold red"), f": {trial.detail}")
    ]
    if trial.log_excerpt:
        lines.append(Text(trial.log_excerpt, style="dim"))
    return Group(*lines)


def _shape_text(trial: TrialRow) -> str:
    total, effective = millions_text(trial.total_parameters), millions_text(trial.effective_parameters)
    ratio = percent_text(trial.embedding_ratio, 1)
    return f"{len(trial.blocks)} blocks, width {trial.hidden_size}, {total} ({effective} effective, {ratio} embeddings)"


def _bar(progress: ProgressRow) -> RenderableType:
    total = max(1, progress.requested_trials)
    grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    counts = Text.assemble((f"{progress.trials_done}", "bold"), f" of {progress.requested_trials} trials")
    grid.add_row(ProgressBar(total=total, completed=min(total, progress.trials_done)), counts)
    return grid


def _standing(progress: ProgressRow) -> Text:
    text = Text.assemble("front ", (str(progress.front_size), "bold"))
    if progress.hypervolume is not None:
        text.append(f"   hypervolume {value_text(progress.hypervolume, 4)} ")
        text.append(sparkline(progress.hypervolume_history), style="cyan")
    text.append(f"   under way {progress.trials_under_way}")
    if progress.trials_failed:
        text.append(f"   failed {progress.trials_failed}", style="red")
    return text


def _clock(progress: ProgressRow) -> Text:
    left = band_text(progress.seconds_left_low, progress.seconds_left_high)
    return Text(f"{duration_text(progress.elapsed_seconds)} so far, left: {left}", style="dim")


def _current(number: int, layout: str, step: str) -> Text:
    return Text.assemble("▸ ", (f"#{number} ", "bold"), layout_text(layout), f"  {step}")


def _last_finished(trial: TrialRow, columns: tuple[MetricColumn, ...]) -> RenderableType:
    text = Text.assemble(
        "✓ " if trial.cells else "✗ ", (f"#{trial.number} ", "bold"), layout_text(trial.layout)
    )
    if not trial.cells:
        return text.append(f"  {trial.outcome}: {trial.detail}", style="red")
    values = [
        _labelled(trial.cells[column.name], column)
        for column in columns
        if column.is_objective and column.name in trial.cells
    ]
    # Columns never part a value from its label, however narrow the terminal is.
    return Group(text, Padding(Columns(values, padding=(0, 2)), (0, 0, 0, 2)))


def _labelled(cell: Cell, column: MetricColumn) -> Text:
    unit = f" {column.unit}" if column.unit and not column.is_proxy else ""
    return Text.assemble((f"{short_title(column)} ", "dim"), f"{cell_text(cell, column)}{unit}")


def sparkline(values: tuple[float, ...], width: int = 16) -> str:
    """The last `width` values as little bars between the smallest and the largest of them."""
    shown = values[-width:]
    if len(shown) < 2 or max(shown) == min(shown):
        return ""
    low, span = min(shown), max(shown) - min(shown)
    return "".join(SPARKS[round((value - low) / span * (len(SPARKS) - 1))] for value in shown)
