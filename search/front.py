"""Which measured points are best: dominance, Pareto front, hypervolume, knee.

A point is a sequence of objective values in the order of `directions`.
moocore does the sorting and the volumes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from search.errors import ComparisonError
from search.objective import Direction

Point = Sequence[float]

REFERENCE_MARGIN = 0.1


@dataclass(frozen=True)
class Front:
    """Indices of the best points, rising; `feasible` is False when they are only the least violating ones."""

    indices: tuple[int, ...]
    feasible: bool


def non_dominated(points: Sequence[Point], directions: Sequence[Direction]) -> tuple[int, ...]:
    """Return the indices of the points that no other point dominates, rising.

    Equal points do not dominate each other, so all copies of a best point are returned.
    Raises ComparisonError for a point of the wrong length or with a value that is not finite.
    """
    losses = _losses(points, directions)
    if len(losses) == 0:
        return ()
    kept = moocore.is_nondominated(losses, keep_weakly=True)
    return tuple(int(index) for index in np.flatnonzero(kept))


def constrained_front(
    points: Sequence[Point], directions: Sequence[Direction], total_violations: Sequence[float]
) -> Front:
    """Return the front among feasible points; where none is feasible, the least violating points.

    `total_violations` has one number per point; <= 0 is feasible.
    """
    feasible = [index for index, excess in enumerate(total_violations) if excess <= 0]
    if not feasible:
        return Front(least_violation(total_violations), feasible=False)
    best = non_dominated([points[index] for index in feasible], directions)
    return Front(tuple(feasible[index] for index in best), feasible=True)


def least_violation(total_violations: Sequence[float]) -> tuple[int, ...]:
    """Return the indices of the points whose total violation is smallest, rising; () for no points."""
    if any(np.isnan(excess) for excess in total_violations):
        raise ComparisonError("a total violation is not a number")
    smallest = min(total_violations, default=0.0)
    return tuple(index for index, excess in enumerate(total_violations) if excess == smallest)


def hypervolume(points: Sequence[Point], directions: Sequence[Direction], reference: Point) -> float:
    """Return the volume that the points dominate, bounded by the reference point.

    Its unit is the product of the objectives' units. Points not better than the reference in every objective
    add nothing.
    """
    losses = _losses(points, directions)
    bound = _losses([reference], directions)[0]
    inside = losses[np.all(losses < bound, axis=1)] if len(losses) else losses
    if len(inside) == 0:
        return 0.0
    return float(moocore.hypervolume(moocore.filter_dominated(inside), ref=bound))


def reference_point(points: Sequence[Point], directions: Sequence[Direction]) -> tuple[float, ...]:
    """Return the point a little worse than the worst of `points` in every objective.

    Freeze and store it after the start-up trials, or later hypervolumes can't be compared. The margin is 10 %
    of the points' range, so that the worst start-up points still count; of the value where all points agree.
    """
    losses = _losses(points, directions)
    if len(losses) == 0:
        raise ComparisonError("a reference point needs at least one measured point")
    worst, spread = losses.max(axis=0), np.ptp(losses, axis=0)
    scale = np.where(spread > 0, spread, np.where(worst != 0, np.abs(worst), 1.0))
    return tuple(float(value) for value in (worst + REFERENCE_MARGIN * scale) * _signs(directions))


def knee(points: Sequence[Point], directions: Sequence[Direction]) -> int | None:
    """Return the index of the front's balanced point, or None without points.

    It is the non-dominated point nearest (Euclidean) to the best value of every objective, after each
    objective is scaled to 0..1 over the front. The first of equals wins.
    """
    candidates = non_dominated(points, directions)
    if not candidates:
        return None
    losses = _losses([points[index] for index in candidates], directions)
    spread = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    return candidates[int(np.argmin(np.linalg.norm(scaled, axis=1)))]


def _losses(points: Sequence[Point], directions: Sequence[Direction]) -> NDArray[np.float64]:
    """Return the points as a [points, objectives] array in which smaller is better."""
    for index, point in enumerate(points):
        if len(point) != len(directions):
            raise ComparisonError(f"point {index} has {len(point)} values, not {len(directions)}")
    values = np.array(points, dtype=np.float64).reshape(len(points), len(directions))
    for index in np.flatnonzero(~np.isfinite(values).all(axis=1))[:1]:
        raise ComparisonError(f"point {index} is {tuple(points[index])}: every value must be a finite number")
    return values * _signs(directions)


def _signs(directions: Sequence[Direction]) -> NDArray[np.float64]:
    return np.array([-1.0 if direction == "maximize" else 1.0 for direction in directions])
