"""Checks of one field each, which refuse an impossible value by the field's name."""

import math

from operators.errors import ArchitectureError


def require_whole(field: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number of at least `least`; True and 4.0 are none either."""
    if type(value) is not int or value < least:
        raise ArchitectureError(field, value, f"must be a whole number of at least {least}")


def require_positive(field: str, value: object) -> None:
    """Refuse what is no positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ArchitectureError(field, value, "must be a positive number")


def require_truth(field: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise ArchitectureError(field, value, "must be true or false")
