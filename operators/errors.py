"""Errors of the operators folder.

OperatorError
├── ArchitectureError     a field of an architecture is impossible
├── NotationError         a layout string or an architecture file can't be read
└── LoweringError         an architecture can't be lowered as asked
"""


class OperatorError(ValueError):
    """Base of every error raised by operators."""


class ArchitectureError(OperatorError):
    """A field of an architecture has an impossible value."""

    def __init__(self, field: str, value: object, way_out: str) -> None:
        super().__init__(f"{field} = {value!r}: {way_out}")
        self.field = field
        self.value = value
        self.way_out = way_out


class NotationError(OperatorError):
    """A layout string, a reference name or an architecture document can't be read."""


class LoweringError(OperatorError):
    """An architecture can't be lowered to a graph as asked."""
