"""What can go wrong when rows are read or shown.

ReportError
└── RowError        a mapping does not have the shape of the row it should become
"""


class ReportError(Exception):
    """Base of everything that reports raises on purpose."""


class RowError(ReportError):
    """A mapping from JSON does not fit the row; the message names the place and the value."""
