"""A device's profile as rich tables and bars, for 80 columns and more."""

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports.number_text import NOTHING, duration_text, millions_text, moment_text, percent_text, value_text
from reports.palette import mixer_style
from reports.profile_rows import CostRow, MixerCostRow, ProfileReport, ShapeRow
from reports.profile_view import (
    ceiling_per_second,
    findings,
    gigabytes,
    missing,
    notes,
    place_title,
    short_number,
    spread,
    times,
)

BAR_COLUMNS = 36
EIGHTHS = " ▏▎▍▌▋▊▉"
SHAPE_COLOUR = "#0072b2"


def profile_view(report: ProfileReport) -> RenderableType:
    """The whole profile: bandwidth, mixers, shapes, what it says, and how it was made."""
    parts: list[RenderableType] = [_head(report)]
    if report.mixers:
        title = f"One mixer at width {report.width}: as many short convs as it costs, and its ms per layer"
        parts += [Text(f"\n{title}", "italic"), _mixer_table(report), *_mixer_bars(report)]
    if report.shapes:
        title = f"Known shapes: prefill of {report.prompt_tokens}, decode at {report.contexts[0]}"
        parts += [
            Text(f"\n{title}", "italic"),
            _shape_table(report),
            *_failures(report),
            *_shape_bars(report),
        ]
    parts += [Text(f"\n{text}") for text in findings(report)]
    parts += [Text(f"\n{text}", "dim") for text in notes(report)]
    return Group(*parts)


def _head(report: ProfileReport) -> Text:
    when = moment_text(report.finished_at or report.created_at)
    text = Text.assemble((report.device, "bold"), f"  profile of {when}")
    if report.state != "done":
        text.append(f"  {report.state}", style="yellow")
    if report.detail:
        text.append(f"\n{report.detail}", style="red")
    for row in report.bandwidth:
        threads = "1 thread" if row.threads == 1 else f"{row.threads} threads"
        text.append(
            f"\nmemory read by {threads}: {gigabytes(row.best)} at best, {gigabytes(row.median)} in the median of "
            f"{row.readings}"
        )
    return text


# -- mixers --


def _mixer_table(report: ProfileReport) -> Table:
    table = _table()
    table.add_column("Mixer")
    for cost in report.mixers[0].costs:
        table.add_column(place_title(cost).replace(" of ", "\n").replace(" at ", "\n"), justify="right")
    for row in report.mixers:
        table.add_row(_mixer_name(row), *(_cost(cost) for cost in row.costs))
    return table


def _mixer_name(row: MixerCostRow) -> Text:
    style = mixer_style(row.code)
    return Text.assemble((row.code, f"bold {style.ink} on {style.fill}"), f" {row.name}")


def _cost(cost: CostRow) -> Text:
    if cost.milliseconds is None:
        return Text(missing(cost.outcome), "dim" if not cost.outcome else "red")
    text = Text(times(cost) or missing(cost.outcome), "bold" if cost.ratio else "yellow")
    text.append(f" {spread(cost.ratio)}" if spread(cost.ratio) else "", style="not bold dim")
    return text.append(f"\n{short_number(cost.milliseconds.value)}", style="not bold dim")


def _mixer_bars(report: ProfileReport) -> Iterable[RenderableType]:
    """Bars of every place, each place on a scale of its own."""
    for index, cost in enumerate(report.mixers[0].costs):
        known = [(row, row.costs[index]) for row in report.mixers if row.costs[index].ratio is not None]
        largest = max((each.ratio.value for _, each in known if each.ratio), default=0.0)
        if not largest:
            continue
        yield Text(f"\n{place_title(cost)} tokens, in short convs", "italic")
        grid = Table.grid(padding=(0, 1))
        for row, each in known:
            assert each.ratio is not None
            length = each.ratio.value / largest
            grid.add_row(
                _letter(row), _bar(length, mixer_style(row.code).fill), Text(times(each), "bold"), row.name
            )
        yield grid


def _letter(row: MixerCostRow) -> Text:
    style = mixer_style(row.code)
    return Text(row.code, f"bold {style.ink} on {style.fill}")


def _bar(share: float, colour: str, columns: int = BAR_COLUMNS) -> Text:
    """A bar as long as `share` of `columns`, to an eighth of a character; never shorter than one eighth."""
    eighths = max(1, round(share * columns * 8))
    whole, rest = divmod(eighths, 8)
    return Text("█" * whole + (EIGHTHS[rest] if rest else ""), colour)


# -- shapes --


def _shape_table(report: ProfileReport) -> Table:
    table = _table()
    table.add_column("Shape")
    for heading in (
        "Parameters",
        "Prefill\ntokens/s",
        "Decode\ntokens/s",
        "Peak RSS\nMB",
        "MB per\ntoken",
        "Share of\nbandwidth",
    ):
        table.add_column(heading, justify="right")
    for row in report.shapes:
        table.add_row(row.name, millions_text(row.total_parameters), *_shape_cells(row))
    return table


def _shape_cells(row: ShapeRow) -> list[Text]:
    moved = Text(value_text(row.bytes_per_token / 1e6, 0), "dim")
    if row.decode_per_second is None or row.prefill_per_second is None or row.peak_rss_mb is None:
        reason = Text(missing(row.outcome, row.state), "red" if row.outcome else "dim")
        return [reason, Text(NOTHING, "dim"), Text(NOTHING, "dim"), moved, Text(NOTHING, "dim")]
    speeds = [
        Text.assemble((short_number(cell.value), "bold"), (f" {spread(cell)}", "dim"))
        for cell in (row.prefill_per_second, row.decode_per_second)
    ]
    return [*speeds, Text(value_text(row.peak_rss_mb.value, 0)), moved, _share(row)]


def _share(row: ShapeRow) -> Text:
    if row.bandwidth_share is None:
        return Text(NOTHING, "dim")
    text = percent_text(row.bandwidth_share.value)
    return Text(f"{text} !", "bold red") if row.bandwidth_share.value > 1 else Text(text)


def _failures(report: ProfileReport) -> Iterable[RenderableType]:
    """Why numbers are missing, each reason once and whole."""
    for entry in report.entries:
        if entry.state == "failed":
            why = Text.assemble((entry.label, "bold"), ": ", (missing(entry.outcome, entry.state), "red"))
            yield why.append(f": {entry.detail}" if entry.detail else "")


def _shape_bars(report: ProfileReport) -> Iterable[RenderableType]:
    known = [(row, row.decode_per_second.value) for row in report.shapes if row.decode_per_second]
    if not known:
        return
    most = max(max(ceiling_per_second(row) or 0.0, speed) for row, speed in known)
    yield Text("\ndecode, tokens per second; shaded: what the memory's bandwidth would allow", "italic")
    grid = Table.grid(padding=(0, 1))
    for row, speed in known:
        bar = _bar(speed / most, SHAPE_COLOUR)
        room = round(BAR_COLUMNS * (ceiling_per_second(row) or speed) / most) - len(bar)
        bar.append("░" * max(0, room), style="dim")
        grid.add_row(Text(row.name), bar, Text(short_number(speed), "bold"))
    yield grid


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def progress_line(report: ProfileReport) -> Text:
    """How far a profile is, in a line."""
    text = Text.assemble((f"{report.entries_done}", "bold"), f" of {len(report.entries)}")
    if report.step:
        text.append(f"  {report.step}")
    if report.seconds_left is not None:
        text.append(f"  about {duration_text(report.seconds_left)} left", style="dim")
    return text
