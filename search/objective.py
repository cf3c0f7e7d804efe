"""What a study optimises: the closed list of metrics, objectives on them, constraints on them."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from search.errors import MetricError

Direction = Literal["minimize", "maximize"]

BYTES_PER_MB = 1_000_000
MOST_DIGITS = 12
"""Metrics that end in ``_mb`` count 10^6 bytes, as storage and phone vendors do."""


@dataclass(frozen=True)
class Metric:
    """One number a candidate has, above 0; `needs_target` says that it differs from device to device."""

    name: str
    label: str
    unit: str
    direction: Direction
    needs_target: bool
    digits: int
    highest: float = math.inf
    context_tokens: int | None = None
    """How deep a decode step is where it isn't the workload's first context."""

    def at(self, context_tokens: int) -> "Metric":
        """Return the same metric at another context, such as ``tpot_ms_p50_at_4096``."""
        name, label = f"{self.name}_at_{context_tokens}", f"{self.label} at {context_tokens}"
        return replace(self, name=name, label=label, context_tokens=context_tokens)


METRICS: dict[str, Metric] = {
    "recall_score": Metric("recall_score", "Recall score", "", "maximize", False, 3, highest=1.0),
    "estimated_relative_loss": Metric(
        "estimated_relative_loss", "Estimated relative loss", "nats", "minimize", False, 4
    ),
    "ttft_ms_p50": Metric("ttft_ms_p50", "TTFT p50", "ms", "minimize", True, 1),
    "ttft_ms_p95": Metric("ttft_ms_p95", "TTFT p95", "ms", "minimize", True, 1),
    "tpot_ms_p50": Metric("tpot_ms_p50", "TPOT p50", "ms", "minimize", True, 2),
    "tpot_ms_p95": Metric("tpot_ms_p95", "TPOT p95", "ms", "minimize", True, 2),
    "peak_rss_mb": Metric("peak_rss_mb", "Peak RSS", "MB", "minimize", True, 1),
}


def metric_named(name: str) -> Metric | None:
    """Return the metric of that name, ``tpot_ms_p50_at_4096`` included; None if there is none."""
    found = _AT_A_CONTEXT.fullmatch(name)
    return METRICS[found[1]].at(int(found[2])) if found else METRICS.get(name)


_AT_A_CONTEXT = re.compile(r"(tpot_ms_p50|tpot_ms_p95)_at_([1-9]\d{0,6})")


@dataclass(frozen=True)
class Objective:
    """A metric to optimise, on a target where the metric differs from device to device."""

    metric: Metric
    target: str | None = None

    def __post_init__(self) -> None:
        _refuse_wrong_target(self.metric, self.target)

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """Read ``recall_score`` or ``tpot_ms_p50@laptop``.

        Raises MetricError, which names the text and what could stand there.
        """
        metric, target = _parse_name(text)
        return cls(metric, target)

    @property
    def name(self) -> str:
        """``metric`` or ``metric@target``: the key of its value everywhere."""
        return _join_name(self.metric, self.target)

    @property
    def direction(self) -> Direction:
        """Whether a smaller or a larger value is better."""
        return self.metric.direction


@dataclass(frozen=True)
class Constraint:
    """A bound that a candidate's metric must keep: at most `bound`, or at least `bound`."""

    metric: Metric
    target: str | None
    relation: Literal["<=", ">="]
    bound: float

    def __post_init__(self) -> None:
        _refuse_wrong_target(self.metric, self.target)
        if not math.isfinite(self.bound):
            raise MetricError(f"constraint on {self.name}: bound {self.bound} is not a finite number")
        if self.relation == "<=" and self.bound <= 0:
            raise MetricError(f"no candidate meets '{self}': {self.metric.name} is always above 0")
        if self.relation == ">=" and self.bound > self.metric.highest:
            raise MetricError(
                f"no candidate meets '{self}': {self.metric.name} is {self.metric.highest:g} at most"
            )

    @classmethod
    def parse(cls, text: str) -> "Constraint":
        """Read ``peak_rss_mb@laptop <= 160`` or ``recall_score >= 0.6``.

        Raises MetricError, which names the text and what could stand there.
        """
        found = _CONSTRAINT.fullmatch(text)
        if found is None:
            raise MetricError(f"constraint {text!r}: write it as 'peak_rss_mb@laptop <= 160' (<= or >=)")
        metric, target = _parse_name(found["name"])
        relation: Literal["<=", ">="] = "<=" if found["relation"] == "<=" else ">="
        return cls(metric, target, relation, float(found["bound"]))

    @property
    def name(self) -> str:
        """``metric`` or ``metric@target``: the key of the value that it bounds."""
        return _join_name(self.metric, self.target)

    def __str__(self) -> str:
        return f"{self.name} {self.relation} {self.bound:g}"

    def violation(self, values: Mapping[str, float]) -> float:
        """Return how far the value is past the bound, as a share of the bound; <= 0 means met.

        The share makes constraints of different units comparable; a bound of 0 is taken in the metric's unit.
        Raises MetricError where `values` lacks the metric or holds a value that is not finite.
        """
        measured = _value_of(self.name, values)
        excess = measured - self.bound if self.relation == "<=" else self.bound - measured
        return excess / (abs(self.bound) or 1.0)

    def explain(self, values: Mapping[str, float]) -> str | None:
        """Say in words how the constraint is violated, or None where it is met."""
        if self.violation(values) <= 0:
            return None
        measured = _told_apart(values[self.name], self.bound, self.metric.digits)
        opposite = ">" if self.relation == "<=" else "<"
        return f"{self.name} {measured} {opposite} {self.bound:g} {self.metric.unit}".rstrip()


def violations(constraints: tuple[Constraint, ...], values: Mapping[str, float]) -> tuple[str, ...]:
    """Say in words which constraints `values` violate, in the constraints' order."""
    return tuple(text for text in (c.explain(values) for c in constraints) if text is not None)


def total_violation(constraints: tuple[Constraint, ...], values: Mapping[str, float]) -> float:
    """Sum the violated shares of all constraints; 0 means feasible."""
    return math.fsum(max(0.0, c.violation(values)) for c in constraints)


def objective_values(objectives: tuple[Objective, ...], values: Mapping[str, float]) -> tuple[float, ...]:
    """Pick the objectives' values in the objectives' order. Raises MetricError where one is missing."""
    return tuple(_value_of(objective.name, values) for objective in objectives)


_CONSTRAINT = re.compile(
    r"\s*(?P<name>[^\s<>=]+)\s*(?P<relation><=|>=)\s*(?P<bound>[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)\s*"
)


def _parse_name(text: str) -> tuple[Metric, str | None]:
    name, at, target = text.strip().partition("@")
    metric = metric_named(name)
    if metric is None:
        raise MetricError(f"{text!r}: no metric {name!r}; use one of {', '.join(METRICS)}")
    if at and not target:
        raise MetricError(f"{text!r}: nothing after '@'; name a target, as in {name}@laptop")
    return metric, target or None


def _refuse_wrong_target(metric: Metric, target: str | None) -> None:
    if metric.needs_target and target is None:
        raise MetricError(f"{metric.name!r} differs from device to device: write {metric.name}@<target>")
    if target is not None and not metric.needs_target:
        raise MetricError(f"'{metric.name}@{target}': {metric.name} is the same everywhere; drop '@{target}'")


def _join_name(metric: Metric, target: str | None) -> str:
    return metric.name if target is None else f"{metric.name}@{target}"


def _told_apart(value: float, bound: float, digits: int) -> str:
    """Write a value with as many digits as it takes to differ from the bound that it misses."""
    while round(value, digits) == bound and digits < MOST_DIGITS:
        digits += 1
    return f"{value:.{digits}f}"


def _value_of(name: str, values: Mapping[str, float]) -> float:
    if name not in values:
        raise MetricError(f"no value for {name}; there are {', '.join(sorted(values)) or 'none'}")
    if not math.isfinite(values[name]):
        raise MetricError(f"the value of {name} is {values[name]}, not a finite number")
    return values[name]
