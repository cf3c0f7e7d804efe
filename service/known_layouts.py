"""Find the architecture that a user names: a reference model, a layout string, or a whole document."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devices.plan import Workload
from operators.architecture import Architecture
from operators.cost import parameters
from operators.errors import OperatorError
from operators.lowering import lower
from operators.mixers.sliding_window_attention import SlidingWindowAttention
from operators.notation import architecture_from_dict
from operators.precision import Precision
from operators.references import REFERENCES, reference
from search.errors import SpaceError
from search.scaling import free_space, scale_layout, scale_reference
from search.space import LARGEST_PARAMETERS, Budget, SearchSpace
from service.errors import BadInput, StudyFileError

DEFAULT_PARAMETERS = 60_000_000
DEFAULT_PRECISION = Precision()
DEFAULT_VOCABULARY = 32768


@dataclass(frozen=True)
class NamedArchitecture:
    """An architecture with the name it goes by, and how it differs from the original that the name means."""

    label: str
    architecture: Architecture
    adaptations: tuple[str, ...] = ()


def reference_at_budget(name: str, place: str, space: SearchSpace, budget: Budget) -> NamedArchitecture:
    """Scale a reference model to a study's budget; `place` is where the study file names it."""
    if name not in REFERENCES:
        raise StudyFileError(f"unknown reference {name!r}", field=place, hint=_reference_hint(name))
    try:
        scaled = scale_reference(reference(name), space, budget)
    except (SpaceError, OperatorError) as error:
        raise StudyFileError(
            f"{name!r} can't be scaled to the budget", field=place, hint=str(error)
        ) from None
    return NamedArchitecture(name, scaled.architecture, scaled.adaptations)


def at_budget(layout: str, place: str, space: SearchSpace, budget: Budget) -> NamedArchitecture:
    """Build a layout at a study's budget; `place` is where it was given."""
    try:
        return NamedArchitecture(layout, scale_layout(layout, space, budget))
    except (SpaceError, OperatorError) as error:
        raise StudyFileError(
            f"{layout!r} can't be built in this space", field=place, hint=str(error)
        ) from None


def from_document(
    document: Mapping[str, Any], place: str, precision: Precision = DEFAULT_PRECISION
) -> NamedArchitecture:
    """Read a whole architecture as `Architecture.to_dict` writes it; refuse one that can't be run at `precision`."""
    return read_document(document, place, precision, LARGEST_PARAMETERS)


def read_document(
    document: Mapping[str, Any],
    place: str,
    precision: Precision = DEFAULT_PRECISION,
    largest: float = math.inf,
) -> NamedArchitecture:
    """Read a whole architecture of at most `largest` parameters; refuse one that can't be lowered at `precision`."""
    try:
        architecture = architecture_from_dict(document)
        require_size(architecture, place, largest)
        lower(architecture, max([1, *_windows(architecture)]), precision)
    except (OperatorError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BadInput("this isn't an architecture that can be run", field=place, hint=str(error)) from None
    return NamedArchitecture(architecture.layout, architecture)


def document_at_budget(
    document: Mapping[str, Any], place: str, space: SearchSpace, budget: Budget
) -> NamedArchitecture:
    """Read a whole architecture for a study, which has its budget and vocabulary so that trials can be compared."""
    known = from_document(document, place, space.precision)
    vocabulary, total = known.architecture.vocab_size, parameters(known.architecture).total
    if vocabulary != space.vocabulary:
        raise BadInput(
            f"{vocabulary} can't be used",
            field=f"{place}.vocab_size",
            hint=f"this study has {space.vocabulary}",
        )
    if abs(total - budget.parameters) > budget.slack:
        raise BadInput(
            f"{total} parameters don't meet the study's budget",
            field=place,
            hint=f"it is {budget.parameters} ± {budget.slack}; change the FFN widths, or enqueue the layout",
        )
    return known


def require_windows_within(known: NamedArchitecture, workload: Workload, place: str) -> NamedArchitecture:
    """Return an architecture whose sliding windows are no longer than the context that it is to be measured at."""
    longest = max(_windows(known.architecture), default=0)
    if longest > workload.longest_context:
        raise BadInput(
            f"{known.label}: {SlidingWindowAttention.name}.window = {longest} can't be used",
            field=place,
            hint=longest_window_text(workload),
        )
    return known


def longest_window_text(workload: Workload) -> str:
    """Say how long a window may be where a workload is measured, and what a user can change."""
    return (
        f"the workload reaches {workload.longest_context} tokens; "
        "shorten the window, or raise prompt_tokens or context_tokens"
    )


def _windows(architecture: Architecture) -> list[int]:
    mixers = [block.mixer for block in architecture.blocks]
    return [mixer.window for mixer in mixers if isinstance(mixer, SlidingWindowAttention)]


def require_size(architecture: Architecture, place: str, largest: float = LARGEST_PARAMETERS) -> None:
    """Refuse an architecture that is too large, by default to be measured."""
    total = parameters(architecture).total
    if total > largest:
        raise BadInput(f"{total} parameters", field=place, hint=f"at most {largest:.0f} can be measured")


@dataclass(frozen=True)
class Scale:
    """How large a layout or a reference is to be built outside a study; None was not asked for."""

    parameters: int | None = None
    vocabulary: int | None = None
    embedding_ratio: float | None = None

    def __post_init__(self) -> None:
        ratio = self.embedding_ratio
        if ratio is not None and not 0 < ratio < 1:
            raise BadInput(
                f"{ratio} can't be used", field="embedding_ratio", hint="give a share above 0 and below 1"
            )

    def refuse_all(self, why: str, *names: str) -> None:
        """Refuse any of the named fields that was asked for: what can't be honoured must not be ignored."""
        asked = next((name for name in names if getattr(self, name) is not None), None)
        if asked is not None:
            raise BadInput(f"{getattr(self, asked)} says nothing here", field=asked, hint=why)


def named(name: str, scale: Scale, precision: Precision = DEFAULT_PRECISION) -> NamedArchitecture:
    """Find a reference at its own size, or scaled where a size is given; anything else is a layout string."""
    if name in REFERENCES:
        return _reference(name, scale, precision)
    if name != name.upper() or not name.isalpha():
        raise BadInput(f"unknown reference {name!r}", field="reference", hint=_reference_hint(name))
    budget = _budget(scale)
    try:
        space = free_space(name, _vocabulary(scale), precision)
        return NamedArchitecture(name, scale_layout(name, space, budget, scale.embedding_ratio))
    except (SpaceError, OperatorError) as error:
        raise BadInput(f"{name!r} can't be built", field="layout", hint=str(error)) from None


def _reference(name: str, scale: Scale, precision: Precision) -> NamedArchitecture:
    original = reference(name)
    scale.refuse_all(f"{name} keeps its own embedding ratio; drop it, or give its layout", "embedding_ratio")
    if scale.parameters is None:
        scale.refuse_all(f"{name} is taken at its own size; give a number of parameters too", "vocabulary")
        return NamedArchitecture(name, original)
    budget = _budget(scale)
    try:
        space = free_space(original.layout, _vocabulary(scale), precision)
        scaled = scale_reference(original, space, budget)
    except (SpaceError, OperatorError) as error:
        raise BadInput(f"{name!r} can't be scaled", field="parameters", hint=str(error)) from None
    return NamedArchitecture(name, scaled.architecture, scaled.adaptations)


def _budget(scale: Scale) -> Budget:
    asked = DEFAULT_PARAMETERS if scale.parameters is None else scale.parameters
    try:
        return Budget(asked)
    except SpaceError as error:
        raise BadInput(f"{error.value} can't be used", field="parameters", hint=error.way_out) from None


def _vocabulary(scale: Scale) -> int:
    return DEFAULT_VOCABULARY if scale.vocabulary is None else scale.vocabulary


def _reference_hint(name: str) -> str:
    near = difflib.get_close_matches(name, REFERENCES, n=1, cutoff=0.5)
    layout = "; or give a layout such as CCACCA"
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(REFERENCES)}{layout}"
