"""Numbers as people read them: units, digits, intervals and durations."""

import math

from reports.rows import Cell, MetricColumn

NOTHING = "–"


def value_text(value: float | None, digits: int) -> str:
    """`1234.5` as "1 234.5": a thin space between thousands, a fixed number of digits."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "\u2212")


def cell_text(cell: Cell | None, column: MetricColumn) -> str:
    """The value alone, without its unit."""
    return NOTHING if cell is None else value_text(cell.value, column.digits)


def interval_text(cell: Cell | None, column: MetricColumn) -> str:
    """The 95 % interval as "low to high", "" where none is known."""
    if cell is None or cell.low is None or cell.high is None:
        return ""
    return f"{value_text(cell.low, column.digits)}\u2013{value_text(cell.high, column.digits)}"


def spread_text(cell: Cell | None, column: MetricColumn) -> str:
    """The farther end of the interval as "± 0.12", "" where no interval is known."""
    distance = _farther_end(cell) if cell is not None else None
    return "" if distance is None else f"± {value_text(distance, column.digits)}"


def relative_half_width(cell: Cell) -> float | None:
    """The farther end of the interval over the value, None where that says nothing."""
    distance = _farther_end(cell)
    return None if distance is None or not cell.value else abs(distance / cell.value)


def _farther_end(cell: Cell) -> float | None:
    """How far the interval reaches on its longer side, so that a lopsided one is never made to look narrower."""
    if cell.low is None or cell.high is None:
        return None
    return max(cell.high - cell.value, cell.value - cell.low)


def percent_text(share: float | None, digits: int = 0) -> str:
    """`0.125` as "12.5 %"."""
    if share is None or not math.isfinite(share):
        return NOTHING
    return f"{value_text(100 * share, digits)}\u202f%"


def millions_text(count: int) -> str:
    """A number of parameters in millions: "60.12 M"."""
    return f"{value_text(count / 1e6, 2)}\u202fM"


def duration_text(seconds: float | None) -> str:
    """`521` as "8 min 41 s"; hours take the place of seconds once there are any."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def band_text(low: float | None, high: float | None) -> str:
    """A forecast as a band, "not known yet" before there is an honest one."""
    if low is None or high is None:
        return "not known yet"
    low_text, high_text = duration_text(low), duration_text(high)
    return low_text if low_text == high_text else f"{low_text} to {high_text}"


def moment_text(moment: str | None) -> str:
    """`2026-11-23T18:09:01.2+00:00` as "2026-11-23 18:09 UTC"; text that is no such moment stays as it is."""
    if not moment:
        return NOTHING
    day, mark, clock = moment.partition("T")
    return f"{day} {clock[:5]} UTC" if mark and len(clock) >= 5 else moment


def moment_to_the_second(moment: str) -> str:
    """`2026-11-23T18:09:01.2+00:00` as "2026-11-23 18:09:01 UTC"."""
    return f"{moment[:19].replace('T', ' ')} UTC"


def direction_text(column: MetricColumn) -> str:
    """Which way is better, in words."""
    return "lower is better" if column.direction == "minimize" else "higher is better"


def heading_text(column: MetricColumn) -> str:
    """The column's label with its unit: "TPOT p50, ms"."""
    return f"{column.label}, {column.unit}" if column.unit else column.label
