"""Errors of the search folder.

SearchError
├── SpaceError            a field of a search space or a budget has an impossible value
│   └── InfeasibleSpace   no candidate can meet the fields taken together
├── MetricError           an objective or a constraint can't be read or has no value
└── ComparisonError       points or observations can't be compared (not a number, wrong length)
"""


class SearchError(ValueError):
    """Base of every error raised by search."""


class SpaceError(SearchError):
    """A field of a search space or a budget has an impossible value.

    `place` is the dotted path as written in a study file, such as ``space.embedding_ratio``.
    """

    def __init__(self, place: str, value: object, way_out: str) -> None:
        super().__init__(f"{place} = {value}: {way_out}")
        self.place = place
        self.value = value
        self.way_out = way_out


class InfeasibleSpace(SpaceError):
    """No candidate can meet the fields of the study taken together."""


class MetricError(SearchError):
    """An objective or a constraint can't be read, or its metric has no value."""


class ComparisonError(SearchError):
    """Points or observations can't be compared."""
