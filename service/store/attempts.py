"""Attempts at measuring, by what they were made for: a trial, a single measurement, a device or a job."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from service.store.measurements import CALIBRATION, Calibrations, Measurements
from service.store.rows import (
    AgentRow,
    AttemptRow,
    DeviceRow,
    EvidenceRow,
    JobRow,
    MeasurementRequestRow,
    StudyRow,
    TrialMeasurementRow,
)

SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Attempt:
    """One attempt, who made it where and what for; `late` is a result that came after the lease was over."""

    row: AttemptRow
    purpose: str
    device: str
    agent: str
    study: str
    late: EvidenceRow | None = None
    target: str = ""
    round: int = 0


class Attempts:
    """Queries about attempts; lists are in the order in which leases were granted."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def of_job(self, job_id: str) -> list[Attempt]:
        """List a job's attempts."""
        return self._of_jobs([job_id])

    def of_trial(self, trial_id: str) -> list[Attempt]:
        """List the attempts behind a trial on all of its targets, those before it was put back included.

        A trial that reuses a stored measurement shows the attempts that led to it.
        """
        answers = select(TrialMeasurementRow).where(TrialMeasurementRow.trial_id == trial_id)
        found: dict[str, Attempt] = {}
        for answer in self.session.scalars(answers.order_by(TrialMeasurementRow.round)):
            for each in self._of_jobs(self._jobs_behind(answer)):
                found.setdefault(each.row.id, replace(each, target=answer.target, round=answer.round))
        return sorted(found.values(), key=lambda each: each.row.granted_at)

    def of_request(self, request: MeasurementRequestRow) -> list[Attempt]:
        """List the attempts behind a single measurement, its device's calibration included."""
        jobs = self._calibration_jobs(request)
        if request.job_id is not None:
            jobs.append(request.job_id)
        elif request.measurement_id is not None:
            jobs.append(Measurements(self.session).get(request.measurement_id).job_id)
        return self._of_jobs(jobs)

    def of_device(self, device_id: str, newest: int) -> list[Attempt]:
        """List the newest attempts on a device, whatever they were for; the newest is first."""
        query = _attempts().where(JobRow.device_id == device_id)
        return self._read(query.order_by(AttemptRow.granted_at.desc(), AttemptRow.token.desc()).limit(newest))

    def _of_jobs(self, job_ids: Sequence[str]) -> list[Attempt]:
        query = _attempts().where(AttemptRow.job_id.in_(job_ids))
        return self._read(query.order_by(AttemptRow.granted_at, AttemptRow.token))

    def _jobs_behind(self, answer: TrialMeasurementRow) -> list[str]:
        job_id = answer.job_id
        if job_id is None and answer.measurement_id is not None:
            job_id = Measurements(self.session).get(answer.measurement_id).job_id
        return [] if job_id is None else [*self._earlier_jobs(job_id), job_id]

    def _earlier_jobs(self, job_id: str) -> Sequence[str]:
        """Find the jobs that a study ordered before for the same answer: a trial put back forgets its job."""
        columns = (JobRow.cache_key, JobRow.study_id, JobRow.bypasses_cache, JobRow.created_at)
        key, study_id, bypasses, created_at = self.session.execute(
            select(*columns).where(JobRow.id == job_id)
        ).one()
        if study_id is None:
            return []
        same = (
            JobRow.cache_key == key,
            JobRow.study_id == study_id,
            JobRow.bypasses_cache == bypasses,
            JobRow.created_at < created_at,
        )
        return self.session.scalars(select(JobRow.id).where(*same)).all()

    def _calibration_jobs(self, request: MeasurementRequestRow) -> list[str]:
        if request.calibration_id is not None:
            calibration = Calibrations(self.session).get(request.calibration_id)
            return [Measurements(self.session).get(calibration.measurement_id).job_id]
        # Nothing names a calibration that failed or isn't done: it is one that was open while the request was.
        query = select(JobRow.id).where(
            JobRow.device_id == request.device_id,
            JobRow.purpose == CALIBRATION,
            or_(JobRow.finished_at.is_(None), JobRow.finished_at >= request.created_at),
        )
        if request.finished_at is not None:
            query = query.where(JobRow.created_at <= request.finished_at)
        return list(self.session.scalars(query))

    def _read(self, query: Select[AttemptRow, str, str, str, str]) -> list[Attempt]:
        read = [
            Attempt(row, purpose, device, agent, study or "")
            for row, purpose, device, agent, study in self.session.execute(query)
        ]
        late = self._late({each.row.job_id for each in read})
        return [replace(each, late=late.get((each.row.job_id, each.row.token))) for each in read]

    def _late(self, job_ids: set[str]) -> dict[tuple[str, int], EvidenceRow]:
        query = select(EvidenceRow).where(EvidenceRow.job_id.in_(job_ids), EvidenceRow.code == SUPERSEDED)
        return {(row.job_id, row.token): row for row in self.session.scalars(query)}


def _attempts() -> Select[AttemptRow, str, str, str, str]:
    # Columns of the job, not its row: a plan is long.
    columns = (AttemptRow, JobRow.purpose, DeviceRow.name, AgentRow.name, StudyRow.name)
    return (
        select(*columns)
        .join(JobRow, JobRow.id == AttemptRow.job_id)
        .join(DeviceRow, DeviceRow.id == JobRow.device_id)
        .join(AgentRow, AgentRow.id == AttemptRow.agent_id)
        .outerjoin(StudyRow, StudyRow.id == JobRow.study_id)
    )
