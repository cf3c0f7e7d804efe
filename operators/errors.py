"""Errors of the operators folder.

OperatorError
├── ArchitectureError     a field of an architecture is impossible
├── NotationError         a layout string or an architecture file can't be read
├── ConfigError           a Hugging Face config can't be an architecture
├── ExportError           an architecture can't be written as asked, or reads back as another
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


class ConfigError(OperatorError):
    """A Hugging Face config that can't be an Architecture: the key, its value and a way out."""

    def __init__(self, field: str, value: object, way_out: str) -> None:
        super().__init__(f"{field} = {value!r}: {way_out}")
        self.field, self.value, self.way_out = field, value, way_out


class ExportError(OperatorError):
    """An architecture can't be written as asked, or what was written reads back as something else."""
