"""What is known of a study's candidates: the values that pass between a proposer and whoever measures."""

from collections.abc import Mapping
from dataclasses import dataclass

from operators.architecture import Architecture
from search.dimension import Value


@dataclass(frozen=True)
class Proposal:
    """A candidate to measure and the parameters it came from."""

    parameters: Mapping[str, Value]
    architecture: Architecture


@dataclass(frozen=True)
class Scored:
    """The candidate's values by name (``tpot_ms_p50@laptop``): all objectives and all constrained metrics."""

    values: Mapping[str, float]


@dataclass(frozen=True)
class Faulted:
    """The candidate itself can't run (OutOfMemory, Unsupported, TimedOut): the sampler learns to avoid it."""


@dataclass(frozen=True)
class UnderWay:
    """The candidate is being measured or scored: the sampler spreads out from it."""


@dataclass(frozen=True)
class Abandoned:
    """Nothing was learnt (our fault, or the device's): not proposed again, and teaches nothing."""


Result = Scored | Faulted | UnderWay | Abandoned


@dataclass(frozen=True)
class Told:
    """What is known of one candidate.

    `parameters` are those of its Proposal; None for a reference or an enqueued layout: they are inferred.
    """

    architecture: Architecture
    result: Result
    parameters: Mapping[str, Value] | None = None
