"""Turn a study file into the frozen values of a study, or into one message that says what to mend."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from devices.plan import Workload
from operators.errors import ArchitectureError
from operators.precision import Precision
from operators.registry import MIXERS
from search import feasibility
from search.errors import MetricError, SpaceError
from search.objective import Constraint, Metric, Objective
from search.space import Budget, MixerChoice, SearchSpace
from service.errors import StudyFileError
from service.known_layouts import (
    NamedArchitecture,
    at_budget,
    longest_window_text,
    reference_at_budget,
    require_windows_within,
)
from service.measurement_plans import Conditions, Measuring
from service.study_document import read_document
from service.study_fields import StudyFields, TargetFields, as_document, known_keys
from service.workloads import workload_of


@dataclass(frozen=True)
class Target:
    """A device that a study measures on: by its name, `local`, or by labels."""

    name: str
    device: str | None
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StudyDefinition:
    """Everything a study file says, checked, in the values that search and devices use."""

    name: str
    seed: int
    trials: int
    device_minutes: float | None
    budget: Budget
    space: SearchSpace
    precision: Precision
    workload: Workload
    measuring: Measuring
    targets: tuple[Target, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    references: tuple[NamedArchitecture, ...]
    enqueued: tuple[NamedArchitecture, ...]
    document: Mapping[str, Any]

    @property
    def conditions(self) -> Conditions:
        """What every candidate is measured under."""
        return Conditions(self.workload, self.precision, self.measuring)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical document."""
        canonical = json.dumps(self.document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def read_study(content: bytes | str) -> StudyDefinition:
    """Read the text of a study file; raise StudyFileError naming the place, the value and a way out."""
    return define_study(read_document(content))


def define_study(document: Mapping[str, Any]) -> StudyDefinition:
    """Make the values of a study of a document's plain values; refuse what no candidate can meet."""
    definition = stored_study(document)
    _require_windows(definition)
    try:
        feasibility.check(
            definition.space, definition.budget, definition.constraints, definition.workload.contexts[-1]
        )
    except SpaceError as error:
        raise _space_error(error) from None
    return definition


def _require_windows(definition: StudyDefinition) -> None:
    workload = definition.workload
    for choice in definition.space.mixers:
        longest = max(dict(choice.options).get("window", (0,)))
        if longest > workload.longest_context:
            raise StudyFileError(
                f"{longest} can't be used",
                field=f"space.mixers.{choice.name}.window",
                hint=longest_window_text(workload),
            )
    for place, known in (("references", definition.references), ("enqueue", definition.enqueued)):
        for index, each in enumerate(known):
            require_windows_within(each, workload, f"{place}[{index}]")


def stored_study(document: Mapping[str, Any]) -> StudyDefinition:
    """Make the values of a study that was accepted once: what its limits allow is no longer questioned.

    Those bounds grow sharper with the versions, and a study of an earlier one must stay readable.
    """
    fields = _checked_fields(document)
    try:
        return _define(fields)
    except SpaceError as error:
        raise _space_error(error) from None
    except ArchitectureError as error:
        raise StudyFileError(
            f"{error.value!r} can't be used", field=error.field, hint=error.way_out
        ) from None


def _define(fields: StudyFields) -> StudyDefinition:
    precision = Precision(fields.precision.bits, fields.precision.block_size)
    budget = Budget(fields.budget.parameters, fields.budget.tolerance)
    workload = workload_of(fields.workload.model_dump())
    space = _space(fields, precision)
    targets = tuple(_target(name, given) for name, given in fields.targets.items())
    # Whether anything fits comes first: a layout's own message would only be a consequence.
    feasibility.feasible_widths(space, budget)
    return StudyDefinition(
        name=fields.study,
        seed=fields.seed,
        trials=fields.trials,
        device_minutes=fields.device_minutes,
        budget=budget,
        space=space,
        precision=precision,
        workload=workload,
        measuring=Measuring(fields.measuring.profile, fields.measuring.half_width),
        targets=targets,
        objectives=_objectives(fields.objectives, targets, workload),
        constraints=_constraints(fields.constraints, targets, workload),
        references=_references(fields.references, space, budget),
        enqueued=_enqueued(fields.enqueue, space, budget),
        document=as_document(fields),
    )


def _space(fields: StudyFields, precision: Precision) -> SearchSpace:
    given = fields.space
    return SearchSpace(
        vocabulary=given.vocabulary,
        embedding_ratio=(given.embedding_ratio[0], given.embedding_ratio[1]),
        depth=(given.depth[0], given.depth[1]),
        mixers=tuple(_mixer(name, options or {}) for name, options in given.mixers.items()),
        ffn_ratio=(given.ffn_ratio[0], given.ffn_ratio[1]),
        precision=precision,
    )


def _mixer(name: str, options: Mapping[str, int | Sequence[int]]) -> MixerChoice:
    if name not in MIXERS:
        raise _unknown("space.mixers", name, "mixer", MIXERS)
    for key in options:
        if key not in MIXERS[name].sizing.defaults:
            raise _unknown(f"space.mixers.{name}", key, "key", MIXERS[name].sizing.defaults)
    return MixerChoice.of(name, options)


def _target(name: str, given: TargetFields) -> Target:
    return Target(name, given.device, tuple(sorted((given.labels or {}).items())))


def _objectives(texts: Sequence[str], targets: Sequence[Target], workload: Workload) -> tuple[Objective, ...]:
    found: list[Objective] = []
    for index, text in enumerate(texts):
        place = f"objectives[{index}]"
        try:
            objective = Objective.parse(text)
        except MetricError as error:
            raise StudyFileError(str(error), field=place) from None
        _require_target(place, text, objective.target, targets)
        _require_context(place, text, objective.metric, workload)
        if objective in found:
            raise StudyFileError(f"{text!r} is there twice", field=place, hint="drop one")
        found.append(objective)
    return tuple(found)


def _constraints(
    texts: Sequence[str], targets: Sequence[Target], workload: Workload
) -> tuple[Constraint, ...]:
    found: list[Constraint] = []
    for index, text in enumerate(texts):
        place = f"constraints[{index}]"
        try:
            constraint = Constraint.parse(text)
        except MetricError as error:
            raise StudyFileError(str(error), field=place) from None
        _require_target(place, text, constraint.target, targets)
        _require_context(place, text, constraint.metric, workload)
        found.append(constraint)
    return tuple(found)


def _require_target(place: str, text: str, target: str | None, targets: Sequence[Target]) -> None:
    names = [each.name for each in targets]
    if target is None or target in names:
        return
    near = _nearest(target, names)
    hint = f"did you mean {near!r}?" if near else f"the study has {', '.join(names)}"
    raise StudyFileError(
        f"{text!r} names the target {target!r}, which isn't in `targets`", field=place, hint=hint
    )


def _require_context(place: str, text: str, metric: Metric, workload: Workload) -> None:
    depth = metric.context_tokens
    if depth is None or depth in workload.deeper_contexts:
        return
    first = workload.context_tokens
    hint = f"the first context needs no suffix: {metric.name.partition('_at_')[0]}" if depth == first else ""
    wanted = list(dict.fromkeys([first, *sorted({*workload.deeper_contexts, depth} - {first})]))
    raise StudyFileError(
        f"{text!r} asks for a context of {depth} tokens, which isn't measured",
        field=place,
        hint=hint or f"list it: workload.context_tokens: {wanted}",
    )


def _references(names: Sequence[str], space: SearchSpace, budget: Budget) -> tuple[NamedArchitecture, ...]:
    return tuple(
        reference_at_budget(name, f"references[{index}]", space, budget) for index, name in enumerate(names)
    )


def _enqueued(layouts: Sequence[str], space: SearchSpace, budget: Budget) -> tuple[NamedArchitecture, ...]:
    return tuple(
        at_budget(layout, f"enqueue[{index}]", space, budget) for index, layout in enumerate(layouts)
    )


def _checked_fields(document: Mapping[str, Any]) -> StudyFields:
    try:
        return StudyFields.model_validate(dict(document))
    except ValidationError as error:
        # An unknown key explains a missing one, so it is told first.
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        raise _field_error(first) from None


def _field_error(error: Mapping[str, Any]) -> StudyFileError:
    # pydantic ends a union's location with the member that it tried, and a bad key's with "[key]".
    loc = [part for part in error["loc"] if part not in {"int", "list[int]", "[key]"}]
    place = _place(loc)
    if error["type"] == "extra_forbidden":
        return _unknown(_place(loc[:-1]), str(loc[-1]), "key", known_keys(_place(loc[:-1])))
    if error["type"] == "missing":
        return StudyFileError("is missing", field=place, hint="see examples/pocket.yaml for a whole file")
    message = str(error["msg"]).removeprefix("Value error, ")
    return StudyFileError(f"{_shown(error['input'])} can't be used", field=place, hint=_lowered(message))


def _space_error(error: SpaceError) -> StudyFileError:
    return StudyFileError(f"{error.value} can't be used", field=error.place, hint=error.way_out)


def _unknown(place: str, name: str, what: str, known: Iterable[str]) -> StudyFileError:
    names = list(known)
    near = _nearest(name, names)
    hint = f"did you mean {near!r}?" if near else f"known are {', '.join(names)}"
    return StudyFileError(f"unknown {what} {name!r}", field=f"{place}.{name}" if place else name, hint=hint)


def _nearest(name: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), None)


def _place(loc: Sequence[Any]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, default=repr)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]
