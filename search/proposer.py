"""Decides which candidate comes next: Optuna's TPE over our parametrisation, a function of history and seed.

The history is the only state. Every `ask` rebuilds Optuna's study in memory from it, so a proposer started
anew after a crash proposes exactly what the old one would have.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from operators.architecture import Architecture
from search.dimension import Choice, Dimension, Index, Value
from search.errors import SpaceError
from search.objective import Constraint, Objective, objective_values
from search.parametrisation import Parametrisation
from search.sampling import random_parameters, start_up_parameters
from search.space import Budget, SearchSpace

START_UP_TRIALS = 10
SAMPLER_ATTEMPTS = 12
RANDOM_ATTEMPTS = 500

FAULT = "fault"
FAULT_VIOLATION = 10.0
"""A candidate that can't run violates as much as one that is at eleven times a bound."""

# Optuna logs every trial at level INFO to standard error; the service has its own log.
optuna.logging.set_verbosity(optuna.logging.WARNING)


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

    reason: str


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


class Proposer:
    """Proposes candidates of one study; not to be used by several threads at once.

    `history` has an entry per candidate, also those under way, in the order of asking (the trials' numbers).
    Raises InfeasibleSpace where no candidate meets the budget, SpaceError for a negative seed.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint],
        seed: int,
        history: Iterable[Told] = (),
    ) -> None:
        if seed < 0:
            raise SpaceError("seed", seed, "must be 0 or more")
        self.parametrisation = Parametrisation.of(space, budget)
        self._objectives = tuple(objectives)
        self._constraints = tuple(constraints)
        self._seed = seed
        self._distributions = {
            name: _distribution(dimension) for name, dimension in self.parametrisation.dimensions.items()
        }
        self._history: dict[str, _Known] = {}
        for told in history:
            self.tell(told)

    def tell(self, told: Told) -> None:
        """Take note of a candidate; telling it again replaces the result and keeps its place in the order.

        Raises MetricError where a score lacks an objective's or a constraint's value or has one not finite.
        """
        digest = told.architecture.digest
        before = self._history.get(digest)
        self._history[digest] = _Known(
            parameters=before.parameters if before else self._parameters_of(told),
            proposed=before.proposed if before else told.parameters is not None,
            evidence=self._evidence(told.result),
        )

    def ask(self) -> Proposal | None:
        """Return a candidate that is not in the history and note it as under way, or None: space exhausted.

        Exhausted means that several hundred random draws brought nothing new.
        """
        proposal = self._start_up() or self._sampled() or self._random()
        if proposal is not None:
            self.tell(Told(proposal.architecture, UnderWay(), proposal.parameters))
        return proposal

    def _start_up(self) -> Proposal | None:
        """The next point of an even start, in which every mixer takes part."""
        proposed = sum(known.proposed for known in self._history.values())
        if proposed >= START_UP_TRIALS:
            return None
        dimensions = self.parametrisation.dimensions
        return self._new(start_up_parameters(dimensions, proposed, START_UP_TRIALS, self._seed))

    def _sampled(self) -> Proposal | None:
        """Ask Optuna; a candidate that is known is told its known result and Optuna is asked again."""
        study = self._study()
        for _ in range(SAMPLER_ATTEMPTS):
            trial = study.ask(self._distributions)
            proposal = self._new(trial.params)
            if proposal is not None:
                return proposal
            study.tell(trial, state=TrialState.FAIL)
            study.add_trial(self._repeated(trial.params))
        return None

    def _random(self) -> Proposal | None:
        random = np.random.default_rng(self._entropy())
        draws = (random_parameters(self.parametrisation.dimensions, random) for _ in range(RANDOM_ATTEMPTS))
        return next((found for found in map(self._new, draws) if found is not None), None)

    def _new(self, parameters: Mapping[str, Value]) -> Proposal | None:
        architecture = self.parametrisation.decode(parameters)
        return None if architecture.digest in self._history else Proposal(dict(parameters), architecture)

    def _study(self) -> optuna.Study:
        """Optuna's study of everything known, with a sampler seeded by how much is known."""
        seed = int(np.random.SeedSequence(self._entropy()).generate_state(1)[0])
        study = optuna.create_study(
            directions=[objective.direction for objective in self._objectives],
            # Multivariate TPE did no better over 30 seeds of an analytic study with five objectives.
            sampler=optuna.samplers.TPESampler(n_startup_trials=START_UP_TRIALS, seed=seed),
        )
        study.add_trials([trial for known in self._history.values() for trial in self._trials(known)])
        return study

    def _trials(self, known: "_Known") -> list[FrozenTrial]:
        return [] if known.parameters is None else [self._trial(known.parameters, known.evidence)]

    def _repeated(self, parameters: Mapping[str, Value]) -> FrozenTrial:
        digest = self.parametrisation.decode(parameters).digest
        return self._trial(parameters, self._history[digest].evidence)

    def _trial(self, parameters: Mapping[str, Value], evidence: "_Evidence") -> FrozenTrial:
        return create_trial(
            state=evidence.state,
            values=evidence.values,
            params=dict(parameters),
            distributions=self._distributions,
            constraints=evidence.constraints,
        )

    def _evidence(self, result: Result) -> "_Evidence":
        match result:
            case Scored(values):
                # Optuna takes a trial without constraints for feasible, so every finished one states them.
                constraints = {FAULT: 0.0} | {str(c): c.violation(values) for c in self._constraints}
                return _Evidence(
                    TrialState.COMPLETE, list(objective_values(self._objectives, values)), constraints
                )
            case Faulted():
                # Pruned, because Optuna's TPE learns nothing from failed trials.
                return _Evidence(TrialState.PRUNED, None, {FAULT: FAULT_VIOLATION})
            case UnderWay():
                return _Evidence(TrialState.RUNNING, None, {})
            case Abandoned():
                return _Evidence(TrialState.FAIL, None, {})

    def _parameters_of(self, told: Told) -> dict[str, Value] | None:
        """The parameters told, where this space still has them; else inferred from the architecture."""
        if told.parameters is not None and self.parametrisation.holds(told.parameters):
            return dict(told.parameters)
        return self.parametrisation.encode(told.architecture)

    def _entropy(self) -> list[int]:
        return [self._seed, len(self._history)]


@dataclass(frozen=True)
class _Evidence:
    """A result in Optuna's terms."""

    state: TrialState
    values: list[float] | None
    constraints: dict[str, float]


@dataclass(frozen=True)
class _Known:
    parameters: dict[str, Value] | None
    proposed: bool
    evidence: _Evidence


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if isinstance(dimension, Index):
        return IntDistribution(0, dimension.count - 1)
    return FloatDistribution(0.0, dimension.largest)
