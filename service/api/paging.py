"""Cursors of lists: where a page ended, as text that says nothing and that only this service reads."""

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query

from service.errors import BadInput

LARGEST_PAGE = 200
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="how many at most")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before")]


def written_place(at: datetime, identifier: str) -> str:
    """Write the place behind a row that was created at a time."""
    return _encoded([at.isoformat(), identifier])


def read_place(cursor: str | None) -> tuple[datetime, str] | None:
    """Read what `written_place` wrote; BadInput for anything else."""
    if cursor is None:
        return None
    try:
        at, identifier = _decoded(cursor)
        return datetime.fromisoformat(at).astimezone(UTC), str(identifier)
    except (ValueError, TypeError, OverflowError):
        raise _unusable(cursor) from None


def written_number(number: int) -> str:
    """Write the place behind a number."""
    return _encoded([number])


def read_number(cursor: str | None, start: int) -> int:
    """Read what `written_number` wrote, `start` where there is none; BadInput for anything else."""
    if cursor is None:
        return start
    try:
        (number,) = _decoded(cursor)
    except (ValueError, TypeError):
        raise _unusable(cursor) from None
    if not isinstance(number, int) or not -1 <= number <= 2**31 - 1:
        raise _unusable(cursor)
    return number


def _encoded(place: list[str | int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _decoded(cursor: str) -> list[str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place = json.loads(text)
    except (binascii.Error, UnicodeDecodeError, RecursionError) as error:
        raise ValueError from error
    if not isinstance(place, list):
        raise ValueError
    return place


def _unusable(cursor: str) -> BadInput:
    return BadInput(
        f"{cursor[:60]!r} is no cursor of this list",
        field="cursor",
        hint="send `next_cursor` of the page before, or none to begin",
    )
