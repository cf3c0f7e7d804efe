"""How long a study was worked on: its spans of work and the short pauses between them."""

from collections.abc import Iterable
from datetime import datetime, timedelta

Span = tuple[datetime, datetime]

LONGEST_PAUSE = timedelta(seconds=60)
"""Proposing, building and the longest wait before a retry take less; in a longer pause nobody worked."""


def seconds_worked(spans: Iterable[Span]) -> float:
    """Add up the time that the spans cover, those that overlap once."""
    worked = timedelta()
    reached: datetime | None = None
    for start, end in sorted(spans):
        if reached is None or start - reached > LONGEST_PAUSE:
            reached = start
        worked += max(end - reached, timedelta())
        reached = max(end, reached)
    return worked.total_seconds()
