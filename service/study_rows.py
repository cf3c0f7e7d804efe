"""Read everything that a study's progress and report are made of, in one go."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from operators.architecture import Architecture
from search.front import constrained_front, knee
from service.device_state import waiting_words
from service.leases import LEASED, WAITING
from service.store import trials
from service.store.agents import Devices
from service.store.database import database_now
from service.store.jobs import Jobs
from service.store.measurements import Calibrations, Measurements
from service.store.rows import (
    CalibrationRow,
    DeviceRow,
    MeasurementRow,
    StudyRow,
    TrialMeasurementRow,
    TrialRow,
)
from service.store.studies import Studies
from service.store.trials import Trials
from service.study_file import StudyDefinition, stored_study
from service.study_history import architecture_of, points_of
from service.time_worked import Span, seconds_worked


@dataclass(frozen=True)
class StudyFront:
    """The trials on the front by their numbers; `closest` are the least violating ones where none is feasible."""

    numbers: tuple[int, ...]
    knee: int | None
    closest: tuple[int, ...] = ()


@dataclass(frozen=True)
class BoundDevice:
    """A target's device and, once there is one, its pinned calibration with the measurement behind it.

    `obstacle` says in a line why the device can't be measured now, and what mends that; "" where it can.
    """

    target: str
    device: DeviceRow
    calibration: CalibrationRow | None
    measurement: MeasurementRow | None
    obstacle: str = ""


@dataclass(frozen=True)
class StudyRows:
    """A study with all its rows, as one state of the database."""

    study: StudyRow
    definition: StudyDefinition
    trials: Sequence[TrialRow]
    architectures: Mapping[str, Architecture]
    answers: Mapping[str, Sequence[TrialMeasurementRow]]
    steps: Mapping[str, str]
    devices: Sequence[BoundDevice]
    measuring: Sequence[tuple[datetime, datetime | None]]
    now: datetime

    @property
    def requested_trials(self) -> int:
        """Candidates asked for: those of the study file, what it was extended by, and what was enqueued beyond them."""
        counted = sum(row.kind != trials.REFERENCE for row in self.trials)
        return max(self.study.trials_wanted, counted)

    @property
    def elapsed_seconds(self) -> float:
        """How long it was worked on; hours in which the service was stopped or the study had ended don't count."""
        return seconds_worked(self._spans())

    def _spans(self) -> Iterator[Span]:
        until = self.study.finished_at or self.now
        if self.study.started_at is not None:
            yield self.study.started_at, self.study.started_at
        for granted_at, ended_at in self.measuring:
            yield granted_at, ended_at or until
        for row in self.trials:
            if row.launched_at is not None and row.state != trials.WAITING:
                yield row.launched_at, row.finished_at or until


def read_rows(session: Session, name_or_id: str) -> StudyRows:
    """Read a study."""
    study = Studies(session).find(name_or_id)
    rows = Trials(session).of_study(study.id)
    answers: dict[str, list[TrialMeasurementRow]] = {row.id: [] for row in rows}
    for answer in Trials(session).study_measurements(study.id):
        answers[answer.trial_id].append(answer)
    devices = [_bound(session, target, device) for target, device in _targets(session, study.id)]
    obstacles = {each.target: each.obstacle for each in devices}
    return StudyRows(
        study=study,
        definition=stored_study(study.document),
        trials=rows,
        architectures={row.id: architecture_of(session, row) for row in rows},
        answers=answers,
        steps={
            row.id: _step(session, answers[row.id], obstacles) for row in rows if row.state == trials.RUNNING
        },
        devices=devices,
        measuring=Jobs(session).measuring_spans(study.id),
        now=database_now(session),
    )


def front_of(rows: Sequence[TrialRow], definition: StudyDefinition) -> StudyFront:
    """Find the front of the measured candidates; references stand beside it, not on it."""
    measured = points_of(rows, definition)
    directions = [objective.direction for objective in definition.objectives]
    points = [point for _, point, _ in measured]
    front = constrained_front(points, directions, [violation for _, _, violation in measured])
    numbers = tuple(measured[index][0].number for index in front.indices)
    if not front.feasible:
        return StudyFront((), None, numbers)
    balanced = knee([points[index] for index in front.indices], directions)
    return StudyFront(numbers, None if balanced is None else numbers[balanced])


def _targets(session: Session, study_id: str) -> list[tuple[str, tuple[DeviceRow, str | None]]]:
    return [
        (row.target, (Devices(session).get(row.device_id), row.calibration_id))
        for row in Studies(session).targets(study_id)
    ]


def _bound(session: Session, target: str, bound: tuple[DeviceRow, str | None]) -> BoundDevice:
    device, calibration_id = bound
    obstacle = waiting_words(session, device)
    if calibration_id is None:
        return BoundDevice(target, device, None, None, obstacle)
    calibration = Calibrations(session).get(calibration_id)
    measurement = Measurements(session).get(calibration.measurement_id)
    return BoundDevice(target, device, calibration, measurement, obstacle)


def _step(session: Session, answers: Sequence[TrialMeasurementRow], obstacles: Mapping[str, str]) -> str:
    """Say what is happening to a running trial, from the state of its jobs."""
    jobs = [
        (each.target, Jobs(session).get(each.job_id)) for each in answers if each.job_id and not each.round
    ]
    measuring = [target for target, job in jobs if job.state == LEASED]
    if measuring:
        return f"measuring on {', '.join(measuring)}"
    kept = [obstacles[target] for target, job in jobs if job.state == WAITING and obstacles.get(target)]
    if kept:
        return kept[0]
    retried = [job for _, job in jobs if job.state == WAITING and job.token > 0]
    if retried:
        return f"waiting to measure again: {retried[0].detail}"
    return "waiting for the device" if jobs else "building"
