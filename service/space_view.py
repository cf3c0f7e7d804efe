"""Say how large a study's space is, and give one candidate of it."""

import math
from dataclasses import dataclass

from operators.architecture import Architecture
from operators.cost import parameters
from search.dimension import Choice, Dimension, Index
from search.parametrisation import Parametrisation
from search.proposer import START_UP_TRIALS
from search.sampling import start_up_parameters
from service.study_file import StudyDefinition


@dataclass(frozen=True)
class SpaceView:
    """The widths that meet the budget, the depths, what a sampler varies, and an example."""

    widths: tuple[int, ...]
    depths: tuple[int, int]
    dimensions: dict[str, str]
    architectures_at_most: int
    example: Architecture

    @property
    def example_parameters(self) -> int:
        """The example's parameters, embeddings included."""
        return parameters(self.example).total

    @property
    def example_embedding_ratio(self) -> float:
        """The example's share of parameters in its embedding."""
        counted = parameters(self.example)
        return counted.embedding / counted.total


def view_space(definition: StudyDefinition) -> SpaceView:
    """Look at a study's space."""
    space = Parametrisation.of(definition.space, definition.budget)
    drawn = start_up_parameters(space.dimensions, 0, START_UP_TRIALS, definition.seed)
    widths = tuple(width.hidden_size for width in space.widths)
    low, high = definition.space.depth
    return SpaceView(
        widths=widths,
        depths=(low, high),
        dimensions={name: _words(each) for name, each in space.dimensions.items()},
        architectures_at_most=len(widths) * _forms(definition) * _layouts(definition),
        example=space.decode(drawn),
    )


def _forms(definition: StudyDefinition) -> int:
    options = [values for mixer in definition.space.mixers for _, values in mixer.options]
    return math.prod(len(values) for values in options)


def _layouts(definition: StudyDefinition) -> int:
    """Count the sequences of mixers of every depth; those that the sampler can say are fewer."""
    mixers, (low, high) = len(definition.space.mixers), definition.space.depth
    return sum(mixers**depth for depth in range(low, high + 1))


def _words(dimension: Dimension) -> str:
    if isinstance(dimension, Choice):
        return "one of " + ", ".join(map(str, dimension.values))
    if isinstance(dimension, Index):
        return f"one of {dimension.count}"
    return f"0 to {dimension.largest:g}"
