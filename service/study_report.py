"""Make a study's whole report of its rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from devices.outcome import Measured
from devices.untrusted_text import visible_log
from reports.rows import HypervolumePoint, StudyReport, TrialDetail
from search.observation import Observation
from service.measured_cache import MeasuredCache
from service.measurement_desk import read_calibration
from service.observations import observations_from_dict, observe
from service.plausibility import memory_ceiling
from service.quality_scores import proxy_caveats
from service.report_columns import columns_of
from service.report_devices import device_row, sentinel_points
from service.report_repeats import Pair, repeat_rows
from service.report_trials import detail_of, trial_row
from service.report_words import budget_text, precision_text, provenance_of, space_text, workload_text
from service.store import trials
from service.store.jobs import Jobs
from service.store.rows import TrialMeasurementRow, TrialRow
from service.study_progress import progress_of
from service.study_rows import BoundDevice, StudyRows, front_of, read_rows

LOG_LINES = 20
TIME_CAVEAT = (
    "A time in ms is a ratio to the sentinel times the sentinel's calibrated time, and its interval is the ratio's: "
    "candidates compare by it. The calibrated time's own error, shown with the device, moves all of them alike and "
    "comes on top where absolute ms matter."
)


@dataclass(frozen=True)
class _Answer:
    """A measured answer of a trial on a target in a round."""

    trial: TrialRow
    row: TrialMeasurementRow
    measured: Measured


def study_report(
    session: Session, cache: MeasuredCache, name_or_id: str, with_details: bool = True
) -> StudyReport:
    """Read a study and make its report; without details the raw samples are left out."""
    rows = read_rows(session, name_or_id)
    answers = list(_answers(session, cache, rows))
    front = front_of(rows.trials, rows.definition)
    study, definition = rows.study, rows.definition
    ceilings = dict(_ceilings(session, rows))
    return StudyReport(
        name=study.name,
        state=study.state,
        created_at=study.created_at.isoformat(timespec="seconds"),
        finished_at=study.finished_at.isoformat(timespec="seconds") if study.finished_at else None,
        seconds=rows.elapsed_seconds,
        requested_trials=rows.requested_trials,
        workload=workload_text(definition.workload),
        precision=precision_text(definition.precision),
        budget=budget_text(definition.budget),
        space=space_text(definition.space),
        columns=columns_of(definition),
        trials=tuple(
            trial_row(rows, each, front, ceilings, _log_excerpt(session, rows, each)) for each in rows.trials
        ),
        devices=tuple(
            device_row(bound.device, bound.target, bound.calibration, _calibrated(session, cache, bound))
            for bound in rows.devices
        ),
        hypervolume=_hypervolume(rows),
        reference_point=_reference_point(rows),
        repeatability=repeat_rows(list(_repeated(rows, answers)), [each.target for each in rows.devices]),
        sentinel=sentinel_points(_in_session(session, cache, rows, answers)),
        provenance=provenance_of(rows, [each.measured for each in answers]),
        caveats=_caveats(rows),
        constraints=tuple(str(each) for each in definition.constraints),
        details=_details(answers) if with_details else {},
        progress=progress_of(rows),
    )


def _answers(session: Session, cache: MeasuredCache, rows: StudyRows) -> Iterator[_Answer]:
    for trial in rows.trials:
        for row in rows.answers[trial.id]:
            measurement_id = row.measurement_id or _measurement_of_job(session, row.job_id)
            measured = cache.read(session, measurement_id) if measurement_id else None
            if measured is not None:
                yield _Answer(trial, row, measured)


def _ceilings(session: Session, rows: StudyRows) -> Iterator[tuple[str, float]]:
    for bound in rows.devices:
        if bound.calibration is not None:
            reference = read_calibration(bound.calibration).reference
            workload = rows.definition.workload
            yield bound.target, memory_ceiling(session, bound.device.id, reference, workload)


def _measurement_of_job(session: Session, job_id: str | None) -> str | None:
    return Jobs(session).get(job_id).measurement_id if job_id else None


def _details(answers: list[_Answer]) -> dict[int, TrialDetail]:
    by_trial: dict[int, dict[str, Measured]] = {}
    for answer in answers:
        if answer.row.round == 0:
            by_trial.setdefault(answer.trial.number, {})[answer.row.target] = answer.measured
    return {number: detail_of(by_target) for number, by_target in by_trial.items()}


def _repeated(rows: StudyRows, answers: list[_Answer]) -> Iterator[Pair]:
    references = {
        bound.target: read_calibration(bound.calibration).reference
        for bound in rows.devices
        if bound.calibration is not None
    }
    again: dict[str, dict[str, Observation]] = {}
    for answer in answers:
        if answer.row.round > 0:
            target = answer.row.target
            again.setdefault(answer.trial.id, {}).update(observe(answer.measured, references[target], target))
    for trial in rows.trials:
        if trial.id in again:
            yield observations_from_dict(trial.observations), again[trial.id]


def _in_session(
    session: Session, cache: MeasuredCache, rows: StudyRows, answers: list[_Answer]
) -> list[tuple[str, str, Measured]]:
    """Calibrations first, then trials and repeats in the order in which they were measured."""
    found: list[tuple[str, str, Measured]] = []
    for bound in rows.devices:
        measured = _calibrated(session, cache, bound)
        if measured is not None:
            found.append(("calibration", bound.target, measured))
    taken = sorted(answers, key=lambda each: str(each.measured.passport.get("started_at", "")))
    return found + [(_label(each), each.row.target, each.measured) for each in taken]


def _calibrated(session: Session, cache: MeasuredCache, bound: BoundDevice) -> Measured | None:
    return cache.read(session, bound.measurement.id) if bound.measurement else None


def _label(answer: _Answer) -> str:
    trial = answer.trial
    name = trial.label if trial.kind == trials.REFERENCE else f"trial {trial.number}"
    return f"{name}, again" if answer.row.round else name


def _log_excerpt(session: Session, rows: StudyRows, trial: TrialRow) -> str:
    if trial.state != trials.FAILED:
        return ""
    job_ids = [row.job_id for row in rows.answers[trial.id] if row.job_id]
    logs = [attempt.log for job_id in job_ids for attempt in Jobs(session).attempts(job_id) if attempt.log]
    return "\n".join(visible_log(logs[-1]).splitlines()[-LOG_LINES:]) if logs else ""


def _hypervolume(rows: StudyRows) -> tuple[HypervolumePoint, ...]:
    return tuple(
        HypervolumePoint(row.number, row.hypervolume) for row in rows.trials if row.hypervolume is not None
    )


def _reference_point(rows: StudyRows) -> Mapping[str, float]:
    point = rows.study.reference_point
    if point is None:
        return {}
    return {each.name: value for each, value in zip(rows.definition.objectives, point, strict=True)}


def _caveats(rows: StudyRows) -> tuple[str, ...]:
    caveats = [TIME_CAVEAT, *proxy_caveats()]
    reused = sum(
        any(row.round == 0 and row.measurement_id for row in answers) for answers in rows.answers.values()
    )
    if reused:
        caveats.append(
            f"{reused} trials reuse measurements that were taken before, under the same conditions."
        )
    wrong = sum(row.outcome == "wrong_output" for row in rows.trials)
    if wrong:
        caveats.append(f"{wrong} candidates answered wrongly: a bug of Loopfront's own; please report it.")
    if rows.study.detail:
        caveats.append(rows.study.detail[:1].upper() + rows.study.detail[1:] + ".")
    return tuple(caveats)
