"""Scales known layouts, of references or enqueued by users, to a budget."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from operators.architecture import Architecture
from operators.cost import parameters
from operators.mixer import Mixer
from operators.precision import Precision
from operators.registry import MIXERS, codes
from search.errors import InfeasibleSpace, SpaceError
from search.feasibility import build, ffn_ratio_needed, fits, widths_within_ratio
from search.space import Budget, MixerChoice, SearchSpace

FREE_FFN_RATIO = (1 / 64, 64.0)
USUAL_FFN_RATIO = 3.5
"""FFN width over hidden size: LFM2 4.5, Qwen3.5 3.5, Gemma 3 270M 3.2, Qwen3 0.6B 3.0."""

FIXED_OPTIONS = ("output_gate", "rotary_share", "qk_norm", "gated")
"""What a space never varies but a reference may have: it changes what a mixer costs or can do."""

RATIO_STEP = 0.03
"""Widths are multiples of 32 or 64, so a ratio is met only so nearly."""

Forms = Mapping[str, Mixer]
"""The mixer that each letter of a layout stands for."""


@dataclass(frozen=True)
class Scaled:
    """A scaled architecture and, in words, how it differs from the original apart from its size."""

    architecture: Architecture
    adaptations: tuple[str, ...]


def scale_layout(
    layout: str, space: SearchSpace, budget: Budget, embedding_ratio: float | None = None
) -> Architecture:
    """Return the layout at the budget, at the width whose embedding ratio is nearest to the one asked.

    Without an embedding ratio it is the width at which the FFNs come nearest to the usual 3.5 hidden sizes.
    Mixer options take the first values that the space gives and the width allows. Raises SpaceError for a
    letter or a depth outside the space, InfeasibleSpace where no width lets the layout meet the budget or
    comes near the ratio.
    """
    choices = _choices(layout, space)
    if not space.depth[0] <= len(layout) <= space.depth[1]:
        way_out = f"it has {len(layout)} blocks; space.depth allows {list(space.depth)}"
        raise SpaceError("layout", layout, way_out)
    candidates = _at_every_width(layout, lambda width: _first_forms(choices, width), space, budget)
    if not candidates:
        raise _no_width(layout, choices, space, budget)
    if embedding_ratio is None:
        return min(candidates, key=_distance_from_usual_ffns)
    nearest = _nearest_ratio(candidates, embedding_ratio)
    if abs(parameters(nearest).embedding_ratio - embedding_ratio) > RATIO_STEP:
        raise _ratio_out_of_reach(layout, candidates, embedding_ratio)
    return nearest


def scale_reference(reference: Architecture, space: SearchSpace, budget: Budget) -> Scaled:
    """Return a reference model's style at the budget.

    The layout is kept, and of the mixers' options and the embedding ratio what the space allows; heads follow
    from the width, with the same share of key and value heads. A layout whose depth is outside the space or
    meets the budget at no width is resampled to the nearest depth that does. A mixer that the space lacks is
    used all the same, with its usual options. Raises InfeasibleSpace where no depth meets the budget.
    """
    choices = _reference_choices(reference, space)
    originals = {block.mixer.code: block.mixer for block in reference.blocks}
    ratio = parameters(reference).embedding_ratio
    for depth in sorted(range(space.depth[0], space.depth[1] + 1), key=_distance_to(len(reference.blocks))):
        layout = resample(reference.layout, depth)
        candidates = _at_every_width(layout, lambda width: _like(originals, choices, width), space, budget)
        if candidates:
            nearest = _nearest_ratio(candidates, ratio)
            return Scaled(nearest, tuple(_adaptations(reference, nearest)))
    raise _no_width(reference.layout, choices, space, budget)


def free_space(layout: str, vocabulary: int, precision: Precision | None = None) -> SearchSpace:
    """Return a space of one layout outside any study, its mixers with their usual options.

    With it a layout or a reference is scaled to any budget: ``scale_layout(layout, free_space(layout, 32768),
    Budget(60_000_000), embedding_ratio=0.2)``. Raises SpaceError for an empty layout or an unknown letter.
    """
    if not layout:
        raise SpaceError("layout", "''", f"write one letter per block: {_letters()}")
    return SearchSpace(
        vocabulary=vocabulary,
        embedding_ratio=(0.0, 1.0),
        depth=(len(layout), len(layout)),
        mixers=tuple(MixerChoice.of(_mixer_name(code)) for code in dict.fromkeys(layout)),
        ffn_ratio=FREE_FFN_RATIO,
        precision=precision or Precision(),
    )


def resample(layout: str, depth: int) -> str:
    """Return the layout at another depth, each mixer's share and places kept as nearly as whole blocks allow.

    At every block comes the mixer that is most behind its running count in the original.
    """
    placed: Counter[str] = Counter()
    letters = ""
    for block in range(depth):
        whole, part = divmod((block + 1) * len(layout), depth)
        due = {code: _count(layout, code, whole, part, depth) - placed[code] * len(layout) for code in layout}
        letters += max(due, key=due.__getitem__)
        placed[letters[-1]] += 1
    return letters


def _count(layout: str, code: str, whole: int, part: int, depth: int) -> int:
    """`depth` times the count of a letter in the first `whole` + `part` / `depth` places of the layout."""
    partly = part if whole < len(layout) and layout[whole] == code else 0
    return layout[:whole].count(code) * depth + partly


def _choices(layout: str, space: SearchSpace) -> dict[str, MixerChoice]:
    return {code: space.choice(_mixer_name(code)) for code in dict.fromkeys(layout)}


def _reference_choices(reference: Architecture, space: SearchSpace) -> dict[str, MixerChoice]:
    known = {choice.code: choice for choice in space.mixers}
    usual = {code: MixerChoice.of(_mixer_name(code)) for code in dict.fromkeys(reference.layout)}
    return {code: known.get(code, choice) for code, choice in usual.items()}


def _mixer_name(code: str) -> str:
    known = codes()
    if code not in known:
        raise SpaceError("layout", repr(code), f"unknown letter; use {_letters()}")
    return known[code]


def _letters() -> str:
    return ", ".join(f"{code} = {name}" for code, name in codes().items())


def _at_every_width(
    layout: str, forms_at: Callable[[int], Forms | None], space: SearchSpace, budget: Budget
) -> list[Architecture]:
    found = []
    for width in widths_within_ratio(space, budget):
        forms = forms_at(width)
        mixers = [forms[code] for code in layout] if forms else []
        if mixers and fits(width, mixers, space, budget):
            found.append(build(width, mixers, space, budget))
    return found


def _first_forms(choices: Mapping[str, MixerChoice], hidden_size: int) -> Forms | None:
    if not all(choice.fitting(hidden_size) for choice in choices.values()):
        return None
    return {code: choice.mixers(hidden_size)[0] for code, choice in choices.items()}


def _like(originals: Forms, choices: Mapping[str, MixerChoice], hidden_size: int) -> Forms | None:
    if not all(choice.fitting(hidden_size) for choice in choices.values()):
        return None
    return {code: _most_like(mixer, choices[code], hidden_size) for code, mixer in originals.items()}


def _most_like(original: Any, choice: MixerChoice, hidden_size: int) -> Mixer:
    """The allowed form nearest to the original's options, key and value heads by their share of the heads."""
    wanted: dict[str, float] = dict(choice.operator.sizing.read(original))
    if "kv_heads" not in wanted:
        return choice.nearest(hidden_size, wanted)
    share = wanted.pop("kv_heads") / original.heads
    sized: Any = choice.nearest(hidden_size, wanted)
    head_size = {"head_size": sized.head_size}
    return choice.nearest(hidden_size, {**wanted, **head_size, "kv_heads": share * sized.heads})


def _nearest_ratio(candidates: list[Architecture], asked: float) -> Architecture:
    return min(candidates, key=lambda candidate: abs(parameters(candidate).embedding_ratio - asked))


def _distance_from_usual_ffns(candidate: Architecture) -> float:
    return abs(math.log(candidate.blocks[0].ffn.width / candidate.hidden_size / USUAL_FFN_RATIO))


def _distance_to(depth: int) -> Callable[[int], int]:
    return lambda other: abs(other - depth)


def _adaptations(reference: Architecture, scaled: Architecture) -> Iterator[str]:
    """Say what is not as in the reference, sizes that any smaller budget changes left out."""
    if len(scaled.blocks) != len(reference.blocks):
        yield f"{len(scaled.blocks)} blocks instead of {len(reference.blocks)}"
    ratios = parameters(scaled).embedding_ratio, parameters(reference).embedding_ratio
    if abs(ratios[0] - ratios[1]) > 0.01:
        yield f"embedding ratio {ratios[0]:.1%} instead of {ratios[1]:.1%}"
    originals = {block.mixer.code: block.mixer for block in reference.blocks}
    for code, mixer in {block.mixer.code: block.mixer for block in scaled.blocks}.items():
        yield from _option_adaptations(originals[code], mixer)
        yield from _weight_adaptations(originals[code], reference.hidden_size)
    if reference.norm_placement != scaled.norm_placement:
        yield f"{scaled.norm_placement}-norm blocks instead of {reference.norm_placement}"


def _option_adaptations(original: Any, scaled: Any) -> Iterator[str]:
    for option in FIXED_OPTIONS:
        before, after = getattr(original, option, None), getattr(scaled, option, None)
        if before != after:
            yield f"{scaled.name}: {option} {after} instead of {before}"
    read = MIXERS[scaled.name].sizing.read
    for option, before in read(original).items():
        after = read(scaled)[option]
        if option == "kv_heads" and after * original.heads != before * scaled.heads:
            yield f"{scaled.name}: {after} kv heads of {scaled.heads} instead of {before} of {original.heads}"
        elif option != "kv_heads" and after != before:
            yield f"{scaled.name}: {option} {after} instead of {before}"


def _weight_adaptations(original: Any, hidden_size: int) -> Iterator[str]:
    """Say what filling the hidden size with heads, and no gates, makes of a mixer, all else being equal."""
    sizing = MIXERS[original.name].sizing
    options = sizing.read(original)
    if not sizing.fits(hidden_size, options):
        return
    share = sizing.build(hidden_size, options).parameters(hidden_size) / original.parameters(hidden_size)
    if abs(share - 1) > 0.02:
        yield f"{original.name}: {share:.0%} of the original's weights at equal width"


def _ratio_out_of_reach(layout: str, candidates: list[Architecture], asked: float) -> InfeasibleSpace:
    ratios = [parameters(candidate).embedding_ratio for candidate in candidates]
    way_out = f"{layout} reaches {min(ratios):.3f} to {max(ratios):.3f} with this budget and vocabulary"
    return InfeasibleSpace("embedding_ratio", f"{asked:g}", way_out)


def _no_width(
    layout: str, choices: Mapping[str, MixerChoice], space: SearchSpace, budget: Budget
) -> InfeasibleSpace:
    needed = [
        ffn_ratio_needed(width, [forms[code] for code in layout], space, budget)
        for width in widths_within_ratio(space, budget)
        if (forms := _first_forms(choices, width))
    ]
    if not needed:
        way_out = "no width of the space suits its mixers; widen space.embedding_ratio or their head_size"
        return InfeasibleSpace("layout", layout, way_out)
    return InfeasibleSpace(
        "layout",
        layout,
        f"at {budget.parameters} parameters its {len(layout)} blocks need FFN ratios of {min(needed):.2f} to "
        f"{max(needed):.2f}, never within {list(space.ffn_ratio)}; change its depth or widen space.ffn_ratio",
    )
