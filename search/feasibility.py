"""Which widths and depths can meet the budget, and the FFN widths that make a candidate meet it.

The hidden size fixes the embeddings, the layout fixes the mixers, so the FFN width is what is left to solve.
A width is feasible when there are depths at which the solution lies within the space's FFN ratios for *every*
layout of the space: then each proposal is feasible by construction and none has to be rejected.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from operators.architecture import Architecture, Block, SwiGLU
from operators.cost import norm_parameters
from operators.mixer import Mixer
from search.errors import InfeasibleSpace
from search.objective import BYTES_PER_MB, Constraint
from search.quality.relative_loss import estimated_relative_loss
from search.space import DEEPEST, WIDEST, Budget, SearchSpace

NORM_EPSILON = 1e-6
"""That of the norms within mixers: most published families have one for all, and can say such a candidate exactly."""

RUNTIME_BYTES = 30 * BYTES_PER_MB
"""Less than what ONNX Runtime 1.32 held with a model of half a million parameters: 32 to 39 MB, on x86-64 Linux."""


@dataclass(frozen=True)
class FeasibleWidth:
    """A hidden size that meets the embedding ratio, and the depths at which any layout of the space fits."""

    hidden_size: int
    depths: range


def feasible_widths(space: SearchSpace, budget: Budget) -> tuple[FeasibleWidth, ...]:
    """Return the feasible hidden sizes, rising. Raises InfeasibleSpace where there are none."""
    with_ratio = widths_within_ratio(space, budget)
    if not with_ratio:
        raise _no_ratio(space, budget)
    divided = [width for width in with_ratio if _divides(space, width)]
    if not divided:
        raise _no_heads(space, with_ratio)
    found = [(width, _depths_of_any_layout(width, space, budget, space.depth)) for width in divided]
    if not any(depths for _, depths in found):
        raise _no_depth(space, budget, divided)
    return tuple(FeasibleWidth(width, depths) for width, depths in found if depths)


def widths_within_ratio(space: SearchSpace, budget: Budget) -> tuple[int, ...]:
    """Return the hidden sizes, rising, that keep the embedding ratio anywhere within the tolerance."""
    return tuple(
        width
        for width in _affordable_widths(space, budget)
        if _ratio_fits(space, budget, width) and _fine_enough(space, budget, width)
    )


def build(hidden_size: int, mixers: Sequence[Mixer], space: SearchSpace, budget: Budget) -> Architecture:
    """Return the architecture with these mixers whose FFN widths meet the budget.

    All FFNs are equally wide where that is within the tolerance; else the first few are one step wider.
    Raises InfeasibleSpace where no FFN width within the space's ratios does.
    """
    if not fits(hidden_size, mixers, space, budget):
        raise _no_ffn_width(hidden_size, mixers, space, budget)
    widths = _ffn_widths(hidden_size, mixers, space, budget)
    blocks = tuple(Block(mixer, SwiGLU(width)) for mixer, width in zip(mixers, widths, strict=True))
    return Architecture(space.vocabulary, hidden_size, blocks, norm_epsilon=NORM_EPSILON)


def fits(hidden_size: int, mixers: Sequence[Mixer], space: SearchSpace, budget: Budget) -> bool:
    """Tell whether `build` would find FFN widths for these mixers."""
    least, most = _ffn_step_range(space, hidden_size)
    steps = round(_exact_ffn_steps(hidden_size, mixers, space, budget))
    return least * len(mixers) <= steps <= most * len(mixers)


def ffn_ratio_needed(hidden_size: int, mixers: Sequence[Mixer], space: SearchSpace, budget: Budget) -> float:
    """Return the FFN width over the hidden size that meets the budget exactly; negative without room."""
    steps = _exact_ffn_steps(hidden_size, mixers, space, budget)
    return steps * space.ffn_step / (len(mixers) * hidden_size)


def smallest_bytes(
    space: SearchSpace, budget: Budget, widths: Sequence[FeasibleWidth], context_tokens: int
) -> int:
    """Return a lower bound of any candidate's peak RSS: the runtime, weights as stored, state at a context.

    What the runtime packs and computes with comes on top; it is known only once a candidate was measured.
    """
    bytes_per_weight = space.precision.bits / 8 + 4 / space.precision.block_size
    weights = (budget.parameters - budget.slack) * bytes_per_weight
    states = [_least_state_bytes(space, width.hidden_size, context_tokens) for width in widths]
    return RUNTIME_BYTES + int(weights) + space.depth[0] * min(states)


def check(
    space: SearchSpace, budget: Budget, constraints: Sequence[Constraint] = (), context_tokens: int = 0
) -> tuple[FeasibleWidth, ...]:
    """Return the feasible widths, or raise InfeasibleSpace where no candidate can meet everything asked.

    The error names the field, its value and a way out.
    """
    widths = feasible_widths(space, budget)
    needed = smallest_bytes(space, budget, widths, context_tokens)
    least_loss = _least_relative_loss(space, budget, widths)
    for constraint in constraints:
        _refuse_memory_limit(constraint, needed)
        _refuse_loss_limit(constraint, least_loss)
    _refuse_contradiction(constraints)
    return widths


def _affordable_widths(space: SearchSpace, budget: Budget) -> range:
    """Hidden sizes whose embeddings alone are within the budget, up to the widest that a small model has."""
    widest = min(budget.parameters // space.vocabulary, WIDEST)
    return range(space.width_step, widest + 1, space.width_step)


def _divides(space: SearchSpace, hidden_size: int) -> bool:
    return all(choice.fitting(hidden_size) for choice in space.mixers)


def _fine_enough(space: SearchSpace, budget: Budget, hidden_size: int) -> bool:
    # Rounding to whole steps is off by half a step at most.
    return 3 * hidden_size * space.ffn_step <= 2 * budget.slack


def _ratio_range(space: SearchSpace, budget: Budget, hidden_size: int) -> tuple[float, float]:
    """The embedding ratios that a width has at the upper and the lower end of the budget's tolerance."""
    embedding = space.vocabulary * hidden_size
    return embedding / (budget.parameters + budget.slack), embedding / (budget.parameters - budget.slack)


def _ratio_fits(space: SearchSpace, budget: Budget, hidden_size: int) -> bool:
    low, high = _ratio_range(space, budget, hidden_size)
    return space.embedding_ratio[0] <= low and high <= space.embedding_ratio[1]


def _depths_of_any_layout(
    hidden_size: int, space: SearchSpace, budget: Budget, asked: tuple[int, int]
) -> range:
    """The depths at which every layout fits: those of the smallest and of the largest mixer, so all between.

    There are no gaps among them: a deeper model has less room for each FFN.
    """
    by_size = sorted(_all_mixers(space, hidden_size), key=lambda mixer: mixer.parameters(hidden_size))
    found = [
        depth
        for depth in range(asked[0], asked[1] + 1)
        if fits(hidden_size, by_size[:1] * depth, space, budget)
        and fits(hidden_size, by_size[-1:] * depth, space, budget)
    ]
    return range(found[0], found[-1] + 1) if found else range(0)


def _all_mixers(space: SearchSpace, hidden_size: int) -> list[Mixer]:
    return [mixer for choice in space.mixers for mixer in choice.mixers(hidden_size)]


def _exact_ffn_steps(hidden_size: int, mixers: Sequence[Mixer], space: SearchSpace, budget: Budget) -> float:
    """The steps of FFN width, over all blocks, that would meet the budget exactly."""
    embedding = space.vocabulary * hidden_size
    body = sum(mixer.parameters(hidden_size) for mixer in mixers)
    fixed = embedding + body + norm_parameters(len(mixers), hidden_size)
    return (budget.parameters - fixed) / (3 * hidden_size * space.ffn_step)


def _ffn_step_range(space: SearchSpace, hidden_size: int) -> tuple[int, int]:
    """The fewest and the most steps of one FFN that the space's ratios allow; at least one."""
    low, high = (ratio * hidden_size / space.ffn_step for ratio in space.ffn_ratio)
    return max(1, math.ceil(low)), math.floor(high)


def _ffn_widths(hidden_size: int, mixers: Sequence[Mixer], space: SearchSpace, budget: Budget) -> list[int]:
    exact, depth = _exact_ffn_steps(hidden_size, mixers, space, budget), len(mixers)
    uniform = round(exact / depth)
    if abs(uniform * depth - exact) * 3 * hidden_size * space.ffn_step <= budget.slack:
        return [uniform * space.ffn_step] * depth
    base, wider = divmod(round(exact), depth)
    return [(base + (block < wider)) * space.ffn_step for block in range(depth)]


def _least_state_bytes(space: SearchSpace, hidden_size: int, context_tokens: int) -> int:
    return min(mixer.state_bytes(hidden_size, context_tokens) for mixer in _all_mixers(space, hidden_size))


def _refuse_memory_limit(constraint: Constraint, needed: int) -> None:
    if constraint.metric.name != "peak_rss_mb" or constraint.relation != "<=":
        return
    needed_mb = needed / BYTES_PER_MB
    if constraint.bound >= needed_mb:
        return
    raise InfeasibleSpace(
        "constraints",
        f"'{constraint}'",
        f"the smallest candidate needs more than {needed_mb:.1f} MB: its weights, its state and the runtime itself; "
        f"allow more than that or lower budget.parameters",
    )


def _least_relative_loss(space: SearchSpace, budget: Budget, widths: Sequence[FeasibleWidth]) -> float:
    """A lower bound of any candidate's estimated relative loss: the widths at the budget's upper end."""
    largest, vocabulary = budget.parameters + budget.slack, space.vocabulary
    sizes = [width.hidden_size for width in widths]
    return min(estimated_relative_loss(largest - vocabulary * size, vocabulary, size).loss for size in sizes)


def _refuse_loss_limit(constraint: Constraint, least: float) -> None:
    if constraint.metric.name != "estimated_relative_loss" or constraint.relation != "<=":
        return
    if constraint.bound < least:
        way_out = f"no candidate has less than {least:.4f}; allow more than that or raise budget.parameters"
        raise InfeasibleSpace("constraints", f"'{constraint}'", way_out)


def _refuse_contradiction(constraints: Sequence[Constraint]) -> None:
    for low, high in product(constraints, repeat=2):
        if (low.name, low.relation, high.relation) == (high.name, ">=", "<=") and low.bound > high.bound:
            way_out = f"no number is also '{high}'; change or drop one of them"
            raise InfeasibleSpace("constraints", f"'{low}'", way_out)


def _no_ratio(space: SearchSpace, budget: Budget) -> InfeasibleSpace:
    affordable = _affordable_widths(space, budget)
    if not affordable:
        return _too_few_parameters(space, budget)
    coarse = [width for width in affordable if _ratio_fits(space, budget, width)]
    if coarse:
        return _too_tight(space, budget, coarse[0])
    usable = [width for width in affordable if _is_usable(space, budget, width)]
    return _no_such_ratio(space, budget, usable or list(affordable))


def _is_usable(space: SearchSpace, budget: Budget, hidden_size: int) -> bool:
    """Tell whether a width would be feasible if its embedding ratio were asked."""
    if not _divides(space, hidden_size) or not _fine_enough(space, budget, hidden_size):
        return False
    return bool(_depths_of_any_layout(hidden_size, space, budget, space.depth))


def _no_such_ratio(space: SearchSpace, budget: Budget, widths: Sequence[int]) -> InfeasibleSpace:
    asked = list(space.embedding_ratio)
    middle = sum(asked) / 2
    nearest = min(widths, key=lambda width: abs(space.vocabulary * width / budget.parameters - middle))
    low, high = _ratio_range(space, budget, nearest)
    return InfeasibleSpace(
        "space.embedding_ratio",
        asked,
        f"no width that is a multiple of {space.width_step} meets it with vocabulary {space.vocabulary} and "
        f"{budget.parameters} parameters; the nearest is width {nearest}: ask for a range that holds "
        f"[{_floor(low)}, {_ceil(high)}], or change space.vocabulary or budget.parameters",
    )


def _too_few_parameters(space: SearchSpace, budget: Budget) -> InfeasibleSpace:
    return InfeasibleSpace(
        "budget.parameters",
        budget.parameters,
        f"too few for vocabulary {space.vocabulary}: embeddings of width {space.width_step} alone are "
        f"{space.vocabulary * space.width_step} parameters; raise it or lower space.vocabulary",
    )


def _too_tight(space: SearchSpace, budget: Budget, hidden_size: int) -> InfeasibleSpace:
    step = 3 * hidden_size * space.ffn_step
    return InfeasibleSpace(
        "budget.tolerance",
        budget.tolerance,
        f"one step of one FFN at width {hidden_size} is {step} of {budget.parameters} parameters; "
        f"use {_ceil(50 * step / budget.parameters) / 100} or more",
    )


def _no_heads(space: SearchSpace, widths: Sequence[int]) -> InfeasibleSpace:
    wrong = min(space.mixers, key=lambda choice: sum(bool(choice.fitting(width)) for width in widths))
    return InfeasibleSpace(
        f"space.mixers.{wrong.name}",
        dict(wrong.options),
        f"its heads must divide a hidden size that suits every mixer, and the embedding ratio allows "
        f"{', '.join(map(str, widths))}; give another head_size or kv_heads, or widen space.embedding_ratio",
    )


def _no_depth(space: SearchSpace, budget: Budget, widths: list[int]) -> InfeasibleSpace:
    possible = {width: _depths_of_any_layout(width, space, budget, (1, DEEPEST)) for width in widths}
    found = {width: depths for width, depths in possible.items() if depths}
    ratios = list(space.ffn_ratio)
    if not found:
        return InfeasibleSpace(
            "space.ffn_ratio",
            ratios,
            f"no depth meets {budget.parameters} parameters at widths {widths[0]} to {widths[-1]}; widen it, "
            "or change space.embedding_ratio or budget.parameters",
        )
    shallowest, deepest = min(depths[0] for depths in found.values()), max(d[-1] for d in found.values())
    return InfeasibleSpace(
        "space.depth",
        list(space.depth),
        f"{budget.parameters} parameters at widths {min(found)} to {max(found)} and FFN "
        f"ratios {ratios} allow {shallowest} to {deepest} blocks; ask for a range within, or widen "
        "space.ffn_ratio or space.embedding_ratio",
    )


def _no_ffn_width(
    hidden_size: int, mixers: Sequence[Mixer], space: SearchSpace, budget: Budget
) -> InfeasibleSpace:
    ratio = ffn_ratio_needed(hidden_size, mixers, space, budget)
    return InfeasibleSpace(
        "space.ffn_ratio",
        list(space.ffn_ratio),
        f"{len(mixers)} blocks of hidden size {hidden_size} would need an FFN ratio of {ratio:.2f} to meet "
        f"{budget.parameters} parameters; use another depth or width, or widen space.ffn_ratio",
    )


def _floor(ratio: float) -> float:
    return math.floor(ratio * 1000) / 1000


def _ceil(ratio: float) -> float:
    return math.ceil(ratio * 1000) / 1000
