"""Attempts at measuring as plain text: how each ended, why, and the log of what ran."""

from collections.abc import Iterable

from reports.number_text import duration_text, moment_to_the_second
from reports.rows import AttemptRow

INDENT = "    "


def attempts_text(attempts: Iterable[AttemptRow], first_number: int | None = None) -> str:
    """One paragraph for each attempt, numbered from `first_number` where one is given."""
    paragraphs = (
        _paragraph(attempt, "" if first_number is None else f"{first_number + index}. ")
        for index, attempt in enumerate(attempts)
    )
    return "\n\n".join(paragraphs)


def _paragraph(attempt: AttemptRow, number: str) -> str:
    when = moment_to_the_second(attempt.began_at)
    lines = [
        f"{number}{attempt.ending}  ({when}, {duration_text(attempt.seconds)})",
        f"{INDENT}{attempt.purpose} on {attempt.device}, agent {attempt.agent}",
    ]
    if attempt.reason:
        lines.append(f"{INDENT}{attempt.reason}")
    # Marked, so that no line of a log can be taken for one of ours.
    lines += [f"{INDENT}| {line}" for line in attempt.log.splitlines()]
    if attempt.is_failure and not attempt.log:
        lines.append(f"{INDENT}no log came with it")
    return "\n".join(lines)
