"""A number with its uncertainty."""

import math
from dataclasses import dataclass

from search.errors import ComparisonError


@dataclass(frozen=True)
class Observation:
    """A value, the 95 % interval around it, and the raw reading it was derived from (for paired times).

    All four are in the metric's unit. `low` == `value` == `high` says that the value is exact.
    """

    value: float
    low: float
    high: float
    raw: float | None = None

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for number in (self.value, self.low, self.high)):
            raise ComparisonError(f"observation {self.value} [{self.low}, {self.high}] is not finite")
        if not self.low <= self.value <= self.high:
            raise ComparisonError(
                f"observation {self.value} lies outside its interval [{self.low}, {self.high}]"
            )

    @classmethod
    def exact(cls, value: float) -> "Observation":
        """A value without uncertainty, such as a closed-form one."""
        return cls(value, value, value)

    @classmethod
    def within(cls, value: float, relative_half_width: float, raw: float | None = None) -> "Observation":
        """A value whose interval is ± `relative_half_width` (0.04 is ± 4 %) of it."""
        half_width = abs(value) * relative_half_width
        return cls(value, value - half_width, value + half_width, raw)

    @property
    def relative_half_width(self) -> float:
        """The wider side of the interval as a share of the value; 0 for an exact one."""
        half_width = max(self.high - self.value, self.value - self.low)
        if half_width == 0:
            return 0.0
        return math.inf if self.value == 0 else half_width / abs(self.value)

    def overlaps(self, other: "Observation") -> bool:
        """Tell whether the two intervals share a point, so that the difference may be noise."""
        return self.low <= other.high and other.low <= self.high
