"""A layout of any depth as shares: a dominant mixer, one or two others in the minority, and their places."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from search.arrangement import ARRANGEMENTS, arrange

LARGEST_MINOR_SHARE = 0.5
LARGEST_ACCENT_SHARE = 0.25


@dataclass(frozen=True)
class Recipe:
    """Letters and shares of the blocks; a minor or an accent with the letter of another role is left out.

    Shares are at most LARGEST_MINOR_SHARE and LARGEST_ACCENT_SHARE.
    """

    dominant: str
    minor: str
    minor_share: float
    accent: str
    accent_share: float
    arrangement: str

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters that a layout may hold, each once."""
        return tuple(dict.fromkeys((self.dominant, self.minor, self.accent)))

    def bag(self, depth: int) -> str:
        """Return the letters of the layout of a depth, not in their order."""
        minors, accents = self._runs(depth)
        return self.dominant * (depth - len(minors) - len(accents)) + minors + accents

    def layout(self, depth: int) -> str:
        """Return the layout of a depth."""
        return arrange(depth, self.dominant, *self._runs(depth), self.arrangement)

    def _runs(self, depth: int) -> tuple[str, str]:
        minors = self.minor * min(int(self.minor_share * depth + 0.5), depth // 2)
        accents = self.accent * min(int(self.accent_share * depth + 0.5), depth // 4)
        return (
            "" if self.minor == self.dominant else minors,
            "" if self.accent in {self.dominant, self.minor} else accents,
        )


def recipes(layout: str) -> Iterator[Recipe]:
    """Yield every recipe that gives this layout at its own depth; none where no recipe does."""
    letters = sorted(set(layout))
    if len(letters) > 3:
        return
    for dominant, *others in permutations(letters):
        minor, accent = (*others, dominant, dominant)[:2]
        shares = [
            0.0 if letter == dominant else layout.count(letter) / len(layout) for letter in (minor, accent)
        ]
        for arrangement in ARRANGEMENTS:
            recipe = Recipe(dominant, minor, shares[0], accent, shares[1], arrangement)
            if recipe.layout(len(layout)) == layout:
                yield recipe
