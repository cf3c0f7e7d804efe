"""Lays out the benchmark's tables as aligned text."""

from collections.abc import Sequence


def lines(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> list[str]:
    """Return a title, a table whose first column is flush left and the others right, and notes below it."""
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    body = ["  ".join([row[0].ljust(widths[0]), *_right(row, widths)]).rstrip() for row in table]
    return [title, *body, *notes]


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share as per cent; nothing where there is none."""
    return "" if share is None else f"{100 * share:.{digits}f} %"


def _right(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
