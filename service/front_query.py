"""The front of a study by any of its metrics, read lean: of ten thousand trials only the numbers that are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from search.errors import MetricError
from search.front import constrained_front, hypervolume, knee, reference_point
from search.objective import Objective, total_violation
from service.errors import BadInput
from service.store import trials
from service.store.number_rows import number_rows
from service.store.rows import StudyRow, TrialRow
from service.study_file import StudyDefinition, stored_study


@dataclass(frozen=True)
class QueriedFront:
    """The best trials by the objectives, as numbers; where no trial is feasible, the least violating ones.

    `reference` is None before any trial was measured; it is the frozen one where the study's start-up trials fixed all
    of these objectives' coordinates, else a little worse than the worst measured trial now.
    """

    objectives: tuple[Objective, ...]
    numbers: tuple[int, ...]
    closest: tuple[int, ...]
    knee: int | None
    reference: tuple[float, ...] | None
    is_reference_frozen: bool
    hypervolume: float | None


def query_front(session: Session, study: StudyRow, names: Sequence[str]) -> QueriedFront:
    """Find the front by the named objectives, all of the study's where none is named; BadInput for an unknown one."""
    definition = stored_study(study.document)
    objectives = _chosen(definition, names)
    points = _points(session, study.id, definition, objectives)
    directions = [each.direction for each in objectives]
    values = [point for _, point, _ in points]
    front = constrained_front(values, directions, [violation for _, _, violation in points])
    numbers = tuple(points[index][0] for index in front.indices)
    reference, is_frozen = _reference(study, definition, objectives, values)
    if not front.feasible:
        return QueriedFront(objectives, (), numbers, None, reference, is_frozen, 0.0 if values else None)
    best = [values[index] for index in front.indices]
    balanced = knee(best, directions)
    return QueriedFront(
        objectives,
        numbers,
        (),
        None if balanced is None else numbers[balanced],
        reference,
        is_frozen,
        hypervolume(best, directions, reference) if reference is not None else None,
    )


def _chosen(definition: StudyDefinition, names: Sequence[str]) -> tuple[Objective, ...]:
    if not names:
        return definition.objectives
    targets = {each.name for each in definition.targets}
    found = []
    for name in names:
        try:
            objective = Objective.parse(name)
        except MetricError as error:
            raise BadInput(
                str(error), field="objectives", hint="use metrics that the study measures"
            ) from None
        depth = objective.metric.context_tokens
        if objective.target not in targets | {None} or depth not in {
            None,
            *definition.workload.deeper_contexts,
        }:
            known = ", ".join(each.name for each in definition.objectives)
            raise BadInput(
                f"the study doesn't measure {name!r}", field="objectives", hint=f"its objectives are {known}"
            )
        found.append(objective)
    return tuple(dict.fromkeys(found))  # one may be named in two ways


def _points(
    session: Session, study_id: str, definition: StudyDefinition, objectives: Sequence[Objective]
) -> list[tuple[int, tuple[float, ...], float]]:
    """Read number, objective values and total violation of every measured candidate, references aside.

    Trials that lack a metric, as those of an earlier version may, are left out.
    """
    wanted = [each.name for each in objectives]
    names = list(dict.fromkeys([*wanted, *(each.name for each in definition.constraints)]))
    values_of = [TrialRow.observations[(name, "value")].as_float() for name in names]
    measured = select().where(
        TrialRow.study_id == study_id, TrialRow.state == trials.MEASURED, TrialRow.kind != trials.REFERENCE
    )
    found = []
    for number, *values in number_rows(session, measured, TrialRow.number, *values_of):
        violation = 0.0
        if definition.constraints:
            violation = total_violation(definition.constraints, dict(zip(names, values, strict=True)))
        found.append((int(number), tuple(values[: len(wanted)]), violation))
    return found


def _reference(
    study: StudyRow,
    definition: StudyDefinition,
    objectives: Sequence[Objective],
    values: Sequence[tuple[float, ...]],
) -> tuple[tuple[float, ...] | None, bool]:
    known = [each.name for each in definition.objectives]
    frozen = study.reference_point
    if frozen is not None and all(each.name in known for each in objectives):
        return tuple(frozen[known.index(each.name)] for each in objectives), True
    if not values:
        return None, False
    return reference_point(values, [each.direction for each in objectives]), False
