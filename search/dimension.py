"""One parameter of a search, as a map from the unit interval to its values."""

from dataclasses import dataclass

Value = int | float | str


@dataclass(frozen=True)
class Choice:
    """One of several values without an order."""

    values: tuple[int | str, ...]

    def at(self, share: float) -> Value:
        """Return the value at a share (0 <= share < 1) of the dimension."""
        return self.values[int(share * len(self.values))]

    def holds(self, value: Value) -> bool:
        """Tell whether the value belongs to the dimension."""
        return value in self.values


@dataclass(frozen=True)
class Index:
    """A place in a rising list of `count` entries: 0 .. count - 1."""

    count: int

    def at(self, share: float) -> Value:
        """Return the value at a share (0 <= share < 1) of the dimension."""
        return int(share * self.count)

    def holds(self, value: Value) -> bool:
        """Tell whether the value belongs to the dimension."""
        return isinstance(value, int) and 0 <= value < self.count


@dataclass(frozen=True)
class Fraction:
    """A real number from 0 to `largest`."""

    largest: float

    def at(self, share: float) -> Value:
        """Return the value at a share (0 <= share < 1) of the dimension."""
        return share * self.largest

    def holds(self, value: Value) -> bool:
        """Tell whether the value belongs to the dimension."""
        return isinstance(value, int | float) and 0 <= value <= self.largest


Dimension = Choice | Index | Fraction
