"""What a study searches: the space of candidates, and the parameter budget that all of them meet."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from operators.mixer import Mixer, Operator
from operators.precision import Precision
from operators.registry import MIXERS, Registry
from operators.sizing import HEAD_SIZE_STEP, Sizing
from search.errors import SpaceError

WIDTH_STEP = 64
WIDEST = 16_384
DEEPEST = 256
LARGEST_TOLERANCE = 0.05
LARGEST_PARAMETERS = 4_000_000_000
"""Parameters beyond this are no small model."""
LARGEST_OPTION = 131_072
MOST_VALUES = 16
"""Values that one option of a mixer may have: forms are walked through at every width."""


@dataclass(frozen=True)
class Budget:
    """Total parameters, embeddings included, that every candidate has within `tolerance` (0.01 is ± 1 %)."""

    parameters: int
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        if not 1 <= self.parameters <= LARGEST_PARAMETERS:
            way_out = f"must be from 1 to {LARGEST_PARAMETERS}, such as 60M"
            raise SpaceError("budget.parameters", shortened(self.parameters), way_out)
        if not 0 < self.tolerance <= LARGEST_TOLERANCE:
            way_out = f"must be above 0 and at most {LARGEST_TOLERANCE}, such as 0.01"
            raise SpaceError("budget.tolerance", self.tolerance, way_out)

    @property
    def slack(self) -> int:
        """Parameters that a candidate may be above or below the budget."""
        return int(self.parameters * self.tolerance)


@dataclass(frozen=True)
class MixerChoice:
    """A mixer of the space and, for each of its options, the values that it may take, in the order given."""

    name: str
    options: tuple[tuple[str, tuple[int, ...]], ...]
    operator: Operator = field(compare=False, repr=False)

    @classmethod
    def of(
        cls,
        name: str,
        options: Mapping[str, int | Sequence[int]] | None = None,
        registry: Registry = MIXERS,
    ) -> "MixerChoice":
        """Read a mixer's entry of a study file; an option left out keeps its default.

        Raises SpaceError, which names the key, for an unknown mixer or option or an impossible value.
        """
        operator = registry.get(name)
        if operator is None:
            raise SpaceError("space.mixers", repr(name), f"unknown mixer; use one of {', '.join(registry)}")
        sizing = operator.sizing
        given = {key: _values(name, sizing, key, value) for key, value in (options or {}).items()}
        return cls(name, tuple({**sizing.defaults, **given}.items()), operator)

    @property
    def code(self) -> str:
        """The mixer's letter in a layout."""
        return str(self.operator.config.code)

    def fitting(self, hidden_size: int) -> tuple[dict[str, int], ...]:
        """Return the combinations of option values that a hidden size allows, in the order given."""
        keys = [key for key, _ in self.options]
        combinations = (
            dict(zip(keys, chosen, strict=True)) for chosen in product(*dict(self.options).values())
        )
        fits = self.operator.sizing.fits
        return tuple(combination for combination in combinations if fits(hidden_size, combination))

    def mixers(self, hidden_size: int) -> tuple[Mixer, ...]:
        """Return every form of the mixer that a hidden size allows."""
        build = self.operator.sizing.build
        return tuple(build(hidden_size, combination) for combination in self.fitting(hidden_size))

    def nearest(self, hidden_size: int, wanted: Mapping[str, float]) -> Mixer:
        """Return the allowed form whose options are nearest to the wanted ones, by ratio, first of equals.

        An option left out of `wanted` does not count. Raises SpaceError where the hidden size allows no form.
        """
        fitting = self.fitting(hidden_size)
        if not fitting:
            way_out = f"hidden size {hidden_size} is not a multiple of any head_size given"
            raise SpaceError(f"space.mixers.{self.name}", dict(self.options), way_out)
        distances = [_distance(combination, wanted) for combination in fitting]
        return self.operator.sizing.build(hidden_size, fitting[distances.index(min(distances))])


@dataclass(frozen=True)
class SearchSpace:
    """Everything a candidate may be, apart from its budget.

    One vocabulary, so that the width decides the embedding ratio. Ranges are inclusive. `ffn_ratio` is the
    FFN width of any block over the hidden size. Dimensions fit the quantisation blocks of `precision`.
    """

    vocabulary: int
    embedding_ratio: tuple[float, float]
    depth: tuple[int, int]
    mixers: tuple[MixerChoice, ...]
    ffn_ratio: tuple[float, float] = (0.75, 6.0)
    precision: Precision = field(default_factory=Precision)

    def __post_init__(self) -> None:
        if self.vocabulary < 1:
            raise SpaceError(
                "space.vocabulary", shortened(self.vocabulary), "must be positive, such as 32768"
            )
        _refuse_range("space.embedding_ratio", self.embedding_ratio, 0.0, 1.0)
        _refuse_range("space.depth", self.depth, 1, DEEPEST)
        _refuse_range("space.ffn_ratio", self.ffn_ratio, 0.0, 64.0)
        if not self.mixers:
            raise SpaceError("space.mixers", "{}", f"name at least one of {', '.join(MIXERS)}")
        names = [choice.name for choice in self.mixers]
        if len(set(names)) < len(names):
            raise SpaceError(
                "space.mixers", names, "name each mixer once; give an option several values instead"
            )

    @property
    def width_step(self) -> int:
        """Hidden sizes are multiples of this."""
        return math.lcm(WIDTH_STEP, self.precision.block_size)

    @property
    def ffn_step(self) -> int:
        """FFN widths are multiples of this."""
        return self.precision.block_size

    def choice(self, name: str) -> MixerChoice:
        """Return the entry of a mixer by name. Raises SpaceError where the space does not have it."""
        for choice in self.mixers:
            if choice.name == name:
                return choice
        raise SpaceError("space.mixers", repr(name), f"add it to the space, which has {self._names()}")

    def _names(self) -> str:
        return ", ".join(choice.name for choice in self.mixers)


def shortened(value: object) -> str:
    """Show a number or a list of them for a message, hundreds of digits by the first ones."""
    try:
        text = str(value)
    except ValueError:  # Python writes no more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:20]}... ({len(text)} characters)"


def _values(mixer: str, sizing: Sizing, key: str, value: int | Sequence[int]) -> tuple[int, ...]:
    place = f"space.mixers.{mixer}.{key}"
    if key not in sizing.defaults:
        raise SpaceError(place, value, f"unknown option; {mixer} has {', '.join(sizing.defaults)}")
    values = (value,) if isinstance(value, int) else tuple(value)
    if not values or len(set(values)) < len(values):
        raise SpaceError(place, shortened(value), "give one value or a list of different ones")
    if len(values) > MOST_VALUES:
        raise SpaceError(place, f"a list of {len(values)} values", f"give at most {MOST_VALUES}")
    for number in values:
        _refuse_option(place, key, number, sizing.smallest[key])
    return values


def _refuse_option(place: str, key: str, number: int, smallest: int) -> None:
    is_whole = isinstance(number, int) and not isinstance(number, bool)
    if not is_whole or not smallest <= number <= LARGEST_OPTION:
        way_out = f"must be a whole number, {smallest} or more and at most {LARGEST_OPTION}"
        raise SpaceError(place, shortened(number), way_out)
    if key == "head_size" and number % HEAD_SIZE_STEP:
        raise SpaceError(place, number, f"must be a multiple of {HEAD_SIZE_STEP}")


def _refuse_range(place: str, asked: tuple[float, float], smallest: float, largest: float) -> None:
    low, high = asked
    # Asked this way round, what isn't a number is refused too.
    if not (smallest <= low <= largest and smallest <= high <= largest):
        shown = f"[{shortened(low)}, {shortened(high)}]"
        raise SpaceError(place, shown, f"both ends must lie within [{smallest}, {largest}]")
    if low > high:
        raise SpaceError(place, list(asked), f"the lower end comes first: [{high}, {low}]")


def _distance(combination: Mapping[str, int], wanted: Mapping[str, float]) -> float:
    return math.fsum(abs(math.log(combination[key] / wish)) for key, wish in wanted.items())
