"""Maps the parameters that a sampler varies to architectures, so that every choice of values is feasible.

    width           which of the feasible hidden sizes, rising
    dominant        the mixer that fills every place the others leave
    minor           a second mixer; the same as dominant: none
    minor_share     its share of the blocks, 0 .. 0.5
    accent          a third mixer; the same as dominant or minor: none
    accent_share    its share of the blocks, 0 .. 0.25
    arrangement     where minor and accent stand (search/arrangement.py)
    depth           a fraction of the depths at which these mixers and shares fit this width
    <mixer>.<option>   such as short_conv.kernel_size; a value that the width does not allow (key and value
                       heads that don't divide the heads) stands for the nearest that it does

So LFM2 is short_conv with 37 % grouped_query_attention, denser_late; Gemma 3 is sliding_window_attention with
17 % grouped_query_attention, period_end; Qwen3.5 is gated_delta_net with 25 %, period_end. A parameter with a
single value is left out. The FFN width is no parameter: the budget decides it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from operators.architecture import Architecture
from operators.mixer import Mixer
from search.arrangement import ARRANGEMENTS
from search.dimension import Choice, Dimension, Fraction, Index, Value
from search.feasibility import FeasibleWidth, build, feasible_widths, fits
from search.recipe import LARGEST_ACCENT_SHARE, LARGEST_MINOR_SHARE, Recipe, recipes
from search.space import Budget, MixerChoice, SearchSpace

Parameters = Mapping[str, Value]
Forms = Mapping[str, Mixer]
"""The mixer that each letter of a layout stands for."""


@dataclass(frozen=True)
class Parametrisation:
    """The dimensions of a space at a budget, and the maps between their values and architectures."""

    space: SearchSpace
    budget: Budget
    widths: tuple[FeasibleWidth, ...]
    dimensions: Mapping[str, Dimension]

    @classmethod
    def of(cls, space: SearchSpace, budget: Budget) -> "Parametrisation":
        """Raise InfeasibleSpace where no candidate meets the budget."""
        widths = feasible_widths(space, budget)
        dimensions = {name: dim for name, dim in _dimensions(space, len(widths)) if not _is_single(dim)}
        return cls(space, budget, widths, dimensions)

    def holds(self, parameters: Parameters) -> bool:
        """Tell whether the parameters are values of exactly these dimensions."""
        return parameters.keys() == self.dimensions.keys() and all(
            dimension.holds(parameters[name]) for name, dimension in self.dimensions.items()
        )

    def decode(self, parameters: Parameters) -> Architecture:
        """Return the architecture that the parameters stand for; always within the budget."""
        hidden_size = self.widths[int(parameters.get("width", 0))].hidden_size
        recipe = self._recipe(parameters)
        forms = {code: self._form(code, hidden_size, parameters) for code in recipe.letters}
        depths = self._depths(hidden_size, recipe, forms)
        depth = depths[min(int(float(parameters["depth"]) * len(depths)), len(depths) - 1)]
        mixers = [forms[code] for code in recipe.layout(depth)]
        return build(hidden_size, mixers, self.space, self.budget)

    def encode(self, architecture: Architecture) -> dict[str, Value] | None:
        """Return parameters that stand for the architecture, or None where no parameters do."""
        for recipe in recipes(architecture.layout):
            parameters = self._parameters(architecture, recipe)
            found = {name: parameters[name] for name in self.dimensions}
            if self.holds(found) and self.decode(found).digest == architecture.digest:
                return found
        return None

    def _recipe(self, parameters: Parameters) -> Recipe:
        dominant = str(parameters.get("dominant", self.space.mixers[0].name))
        return Recipe(
            dominant=self.space.choice(dominant).code,
            minor=self.space.choice(str(parameters.get("minor", dominant))).code,
            minor_share=float(parameters.get("minor_share", 0.0)),
            accent=self.space.choice(str(parameters.get("accent", dominant))).code,
            accent_share=float(parameters.get("accent_share", 0.0)),
            arrangement=str(parameters.get("arrangement", "even")),
        )

    def _form(self, code: str, hidden_size: int, parameters: Parameters) -> Mixer:
        choice = self.space.choice(self._name_of(code))
        wanted = {
            option: int(parameters.get(f"{choice.name}.{option}", values[0]))
            for option, values in choice.options
        }
        return choice.nearest(hidden_size, wanted)

    def _depths(self, hidden_size: int, recipe: Recipe, forms: Forms) -> list[int]:
        """The depths that fit; never none, because a feasible width has depths at which any layout fits."""
        low, high = self.space.depth
        bags = {depth: [forms[code] for code in recipe.bag(depth)] for depth in range(low, high + 1)}
        return [depth for depth, bag in bags.items() if fits(hidden_size, bag, self.space, self.budget)]

    def _parameters(self, architecture: Architecture, recipe: Recipe) -> dict[str, Value]:
        """The parameters of an architecture read by a recipe; -1 for what this space does not have."""
        forms = {block.mixer.code: block.mixer for block in architecture.blocks}
        sizes = [width.hidden_size for width in self.widths]
        depths = self._depths(architecture.hidden_size, recipe, forms)
        return {
            "width": _index(sizes, architecture.hidden_size),
            "depth": (_index(depths, len(architecture.blocks)) + 0.5) / max(1, len(depths)),
            "dominant": self._name_of(recipe.dominant),
            "minor": self._name_of(recipe.minor),
            "minor_share": recipe.minor_share,
            "accent": self._name_of(recipe.accent),
            "accent_share": recipe.accent_share,
            "arrangement": recipe.arrangement,
            **self._options(forms),
        }

    def _name_of(self, code: str) -> str:
        """The mixer of a letter; a letter that the space doesn't have stands for itself."""
        return next((choice.name for choice in self.space.mixers if choice.code == code), code)

    def _options(self, forms: Forms) -> dict[str, Value]:
        """The options of the mixers used; the first value for the others, which are left open."""
        read = {choice: _read(choice, forms.get(choice.code)) for choice in self.space.mixers}
        return {
            f"{choice.name}.{option}": read[choice].get(option, values[0])
            for choice in self.space.mixers
            for option, values in choice.options
        }


def _dimensions(space: SearchSpace, width_count: int) -> Iterator[tuple[str, Dimension]]:
    names = tuple(choice.name for choice in space.mixers)
    yield "width", Index(width_count)
    yield "depth", Fraction(1.0)
    if len(names) > 1:
        yield "dominant", Choice(names)
        yield "minor", Choice(names)
        yield "minor_share", Fraction(LARGEST_MINOR_SHARE)
        yield "arrangement", Choice(tuple(ARRANGEMENTS))
    if len(names) > 2:
        yield "accent", Choice(names)
        yield "accent_share", Fraction(LARGEST_ACCENT_SHARE)
    for choice in space.mixers:
        for option, values in choice.options:
            yield f"{choice.name}.{option}", Choice(values)


def _is_single(dimension: Dimension) -> bool:
    if isinstance(dimension, Index):
        return dimension.count == 1
    return isinstance(dimension, Choice) and len(dimension.values) == 1


def _read(choice: MixerChoice, mixer: Mixer | None) -> dict[str, int]:
    return {} if mixer is None else choice.operator.sizing.read(mixer)


def _index(values: list[int], value: int) -> int:
    return values.index(value) if value in values else -1
