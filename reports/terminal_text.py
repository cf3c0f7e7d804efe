"""The pieces of text that tables and lists in a terminal share."""

from rich.text import Text

from reports.comparison import Difference
from reports.number_text import NOTHING, percent_text, value_text
from reports.palette import mixer_style
from reports.rows import MetricColumn

VERDICT_MARKS = {"better": ("▲", "green"), "worse": ("▼", "red"), "alike": ("≈", "dim")}


def layout_text(layout: str) -> Text:
    """The layout with every letter on its mixer's colour; without colours the letters alone remain."""
    text = Text()
    for code in layout:
        style = mixer_style(code)
        text.append(code, style=f"bold {style.ink} on {style.fill}")
    return text


def difference_text(difference: Difference | None) -> Text:
    """A difference under its mark: better, worse, or not told apart."""
    if difference is None:
        return Text(NOTHING, "dim")
    mark, style = VERDICT_MARKS[difference.verdict]
    column = difference.column
    in_percent = column.unit and not column.is_proxy and difference.relative is not None
    amount = (
        percent_text(difference.relative, 1) if in_percent else value_text(difference.absolute, column.digits)
    )
    return Text(f"{mark} {amount}", style)


def arrow(column: MetricColumn) -> str:
    """Which way is better, in one character."""
    return "↓" if column.direction == "minimize" else "↑"


def short_title(column: MetricColumn) -> str:
    """A title for tight places."""
    return column.short or column.label


def caption(columns: tuple[MetricColumn, ...]) -> str:
    """What the marks beside a candidate's values mean."""
    text = "◆ the knee; ± the 95 % interval's longer side; times are paired medians (p50)"
    shared = ", ".join(short_title(column) for column in columns if column.error_is_shared)
    return (
        f"{text};\n± of {shared}: a range of published exponents, which moves all alike" if shared else text
    )
