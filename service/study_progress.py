"""A study's progress as one row: what is done, under way and left."""

from collections.abc import Sequence

from reports.rows import CurrentRow, ProgressRow
from reports.rows import TrialRow as ReportTrial
from service.report_columns import columns_of
from service.report_trials import trial_row, violations_of
from service.store import studies, trials
from service.store.rows import TrialRow
from service.study_rows import StudyFront, StudyRows, front_of
from service.time_left import SecondsLeft, seconds_left

REUSED_BELOW_S = 2.0
"""A trial this short was answered from the store; it says nothing of the next one's time."""


def progress_of(rows: StudyRows) -> ProgressRow:
    """Summarise a study's rows."""
    front = front_of(rows.trials, rows.definition)
    counted = [row for row in rows.trials if row.kind != trials.REFERENCE]
    volumes = tuple(row.hypervolume for row in rows.trials if row.hypervolume is not None)
    left = _seconds_left(rows, counted)
    return ProgressRow(
        study=rows.study.name,
        state=rows.study.state,
        requested_trials=rows.requested_trials,
        trials_done=sum(row.state in trials.ENDED for row in counted),
        trials_under_way=sum(row.state == trials.RUNNING for row in rows.trials),
        trials_failed=sum(row.state == trials.FAILED for row in counted),
        front_size=len(front.numbers),
        elapsed_seconds=rows.elapsed_seconds,
        hypervolume=volumes[-1] if volumes else None,
        hypervolume_history=volumes,
        current=_current(rows),
        seconds_left_low=left.low if left else None,
        seconds_left_high=left.high if left else None,
        last_finished=_last_finished(rows, front),
        columns=columns_of(rows.definition),
        message=rows.study.detail or _obstacle(rows) or _outside_the_constraints(rows, front),
    )


def _obstacle(rows: StudyRows) -> str:
    """Say which device an active study waits for: one that someone must free, or that will be free by itself."""
    if rows.study.state not in studies.ACTIVE:
        return ""
    return next((each.obstacle for each in rows.devices if each.obstacle), "")


def _outside_the_constraints(rows: StudyRows, front: StudyFront) -> str:
    candidates = [row for row in rows.trials if row.kind != trials.REFERENCE]
    measured = [row for row in candidates if row.state == trials.MEASURED]
    outside = [row for row in measured if violations_of(rows.definition, row)]
    closest = next((row for row in outside if row.number in front.closest), None)
    if closest is not None:
        missed = "; ".join(violations_of(rows.definition, closest))
        return f"none of {len(measured)} candidates meets the constraints; the closest is #{closest.number}: {missed}"
    return f"{len(outside)} of {len(measured)} candidates are outside the constraints" if outside else ""


def _last_finished(rows: StudyRows, front: StudyFront) -> ReportTrial | None:
    ended = [row for row in rows.trials if row.finished_at is not None]
    newest = max(ended, key=lambda row: str(row.finished_at), default=None)
    return trial_row(rows, newest, front, {}) if newest is not None else None


def _current(rows: StudyRows) -> tuple[CurrentRow, ...]:
    running = [row for row in rows.trials if row.state == trials.RUNNING]
    return tuple(
        CurrentRow(row.number, rows.architectures[row.id].layout, rows.steps[row.id]) for row in running
    )


def _seconds_left(rows: StudyRows, counted: Sequence[TrialRow]) -> SecondsLeft | None:
    if rows.study.state not in studies.ACTIVE:
        return SecondsLeft(0.0, 0.0)
    took = _seconds_between_ends(rows.trials)
    ended = sum(row.state in trials.ENDED for row in counted)
    references = sum(row.kind == trials.REFERENCE and row.state not in trials.ENDED for row in rows.trials)
    return seconds_left(took, rows.requested_trials - ended + references + _repeats_left(rows))


def _repeats_left(rows: StudyRows) -> int:
    done = sum(any(answer.round for answer in answers) for answers in rows.answers.values())
    return max(0, rows.study.repeats_requested - done)


def _seconds_between_ends(rows: Sequence[TrialRow]) -> list[float]:
    """Return what each measured trial added to the time that all took: several are under way at once."""
    spans = sorted(
        (row.finished_at, row.launched_at)
        for row in rows
        if row.finished_at is not None and row.launched_at is not None
    )
    found, before = [], None
    for finished, launched in spans:
        if (finished - launched).total_seconds() > REUSED_BELOW_S:
            since = launched if before is None else max(launched, before)
            found.append(max(0.0, (finished - since).total_seconds()))
        before = finished
    return found
