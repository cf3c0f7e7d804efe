"""Where the minority mixers of a layout stand.

Position i of n, in a sequence of a given length, is the last place before `length * u ** power`, with u the
middle or the end of the i-th n-th. Integer arithmetic, so that every machine gets the same layout.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Spread:
    """Positions over the whole depth: at each period's end or in its middle, `quarters` / 4 the power."""

    at_end: bool
    quarters: int


@dataclass(frozen=True)
class Together:
    """One run of neighbours, at the end of the layout or at its start."""

    at_end: bool


ARRANGEMENTS: Mapping[str, Spread | Together] = MappingProxyType(
    {
        "even": Spread(at_end=False, quarters=4),
        "period_end": Spread(at_end=True, quarters=4),  # Gemma 3: SSSSSA, Qwen3.5: DDDA
        "denser_late": Spread(at_end=False, quarters=3),  # LFM2: CCACCACCACACACAC
        "late": Together(at_end=True),
        "early": Together(at_end=False),
    }
)


def positions(count: int, length: int, arrangement: str) -> tuple[int, ...]:
    """Return `count` different places within `length`, rising. `count` must be at most half of `length`."""
    rule = ARRANGEMENTS[arrangement]
    if isinstance(rule, Together):
        start = length - count if rule.at_end else 0
        return tuple(range(start, start + count))
    return tuple(_place(2 * i + 1 + rule.at_end, 2 * count, length, rule.quarters) for i in range(count))


def arrange(depth: int, dominant: str, minors: str, accents: str, arrangement: str) -> str:
    """Return a layout of `depth` letters: minors placed among all, accents among the rest, then `dominant`.

    `minors` and `accents` are runs of one letter, such as ``AAAAAA``; either may be empty.
    """
    minor_places = dict(zip(positions(len(minors), depth, arrangement), minors, strict=True))
    free = [place for place in range(depth) if place not in minor_places]
    chosen = (free[index] for index in positions(len(accents), len(free), arrangement))
    placed = minor_places | dict(zip(chosen, accents, strict=True))
    return "".join(placed.get(place, dominant) for place in range(depth))


def _place(part: int, parts: int, length: int, quarters: int) -> int:
    """The largest whole number below length * (part / parts) ** (quarters / 4)."""
    bound = length**4 * part**quarters
    return sum(place**4 * parts**quarters < bound for place in range(1, length))
