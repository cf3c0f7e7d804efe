"""How a device's time is shared: studies that wait for it get equal minutes of it, cool-downs included."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from service.store.database import database_now
from service.store.inserting import insert_unless_there
from service.store.rows import AttemptRow, DeviceRow, DeviceShareRow, JobRow, StudyRow

SINGLE = "single"
"""Measurements outside of studies share a device as if they were one study."""

ADVANCE_S = 30.0
"""What a job under lease counts for beside what it took so far: else one study would get every free place at once."""

LONGEST_SPAN_S = 300.0
"""Agents are heard of several times within it; a longer span was none that was measured: the clock was set."""


def sharer_of(job: JobRow) -> str:
    """Name whom a job's time is counted for."""
    return job.study_id or SINGLE


class Shares:
    """The books of one device's time; whoever writes them holds the device's lock."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def join(self, device_id: str, sharer: str) -> None:
        """Let a sharer wait in line with the others: what it did not ask for while it had no jobs is not owed to it."""
        if self._has_open_jobs(device_id, sharer):
            return
        row = self._locked(device_id, sharer)
        others = self.session.scalar(self._least_of_the_others(device_id, sharer))
        row.virtual_seconds = max(row.virtual_seconds, others or 0.0)

    def meter(self, device: DeviceRow) -> Sequence[JobRow]:
        """Count the time since the last look for the jobs under lease, before those change; return them."""
        now = database_now(self.session)
        since, device.metered_at = device.metered_at, now
        jobs = self.session.scalars(
            select(JobRow).where(JobRow.device_id == device.id, JobRow.state == "leased")
        ).all()
        if since is not None and jobs:
            each_s = _between(since, now) / len(jobs)
            for sharer, count in Counter(map(sharer_of, jobs)).items():
                self._count(device.id, sharer, each_s * count)
            held = tuple_(AttemptRow.job_id, AttemptRow.token).in_([(job.id, job.token) for job in jobs])
            self.session.execute(
                update(AttemptRow).where(held).values(device_seconds=AttemptRow.device_seconds + each_s),
                execution_options={"synchronize_session": False},
            )
        return jobs

    def used_seconds(self, study_id: str) -> float:
        """Sum up what a study took of all devices."""
        query = select(func.sum(DeviceShareRow.used_seconds)).where(DeviceShareRow.sharer == study_id)
        return self.session.scalar(query) or 0.0

    def _count(self, device_id: str, sharer: str, seconds: float) -> None:
        """Add to a share, in the database: whoever has read it before reads it anew."""
        share = (DeviceShareRow.device_id == device_id) & (DeviceShareRow.sharer == sharer)
        added = {
            "used_seconds": DeviceShareRow.used_seconds + seconds,
            "virtual_seconds": DeviceShareRow.virtual_seconds + seconds,
        }
        changed = self.session.execute(
            update(DeviceShareRow).where(share).values(added).returning(DeviceShareRow.sharer),
            execution_options={"synchronize_session": False},
        )
        if changed.first() is None:
            self._locked(device_id, sharer)
            self._count(device_id, sharer, seconds)

    def _locked(self, device_id: str, sharer: str) -> DeviceShareRow:
        insert_unless_there(
            self.session,
            DeviceShareRow,
            device_id=device_id,
            sharer=sharer,
            used_seconds=0.0,
            virtual_seconds=0.0,
        )
        query = select(DeviceShareRow).where(
            DeviceShareRow.device_id == device_id, DeviceShareRow.sharer == sharer
        )
        locked = query.with_for_update().execution_options(populate_existing=True)
        return self.session.scalars(locked).one()

    def _has_open_jobs(self, device_id: str, sharer: str) -> bool:
        query = select(JobRow.id).where(
            JobRow.device_id == device_id,
            JobRow.state.in_(("waiting", "leased")),
            func.coalesce(JobRow.study_id, SINGLE) == sharer,
        )
        return self.session.scalar(query.limit(1)) is not None

    def _least_of_the_others(self, device_id: str, sharer: str) -> Select[float]:
        waiting = (
            select(func.coalesce(JobRow.study_id, SINGLE))
            .where(JobRow.device_id == device_id, JobRow.state.in_(("waiting", "leased")))
            .distinct()
        )
        return select(func.min(DeviceShareRow.virtual_seconds)).where(
            DeviceShareRow.device_id == device_id,
            DeviceShareRow.sharer != sharer,
            DeviceShareRow.sharer.in_(waiting),
        )


def priority_of_study() -> ColumnElement[int]:
    """Say, as a value of a job's row, which priority its study has."""
    query = select(StudyRow.priority).where(StudyRow.id == JobRow.study_id)
    return func.coalesce(query.correlate(JobRow).scalar_subquery(), 0)


def standing(device_id: str) -> ColumnElement[float]:
    """Say, as a value of a job's row, how much of the device its study has had: the least goes next."""
    virtual = select(DeviceShareRow.virtual_seconds).where(
        DeviceShareRow.device_id == device_id,
        DeviceShareRow.sharer == func.coalesce(JobRow.study_id, SINGLE),
    )
    leased = aliased(JobRow)
    under_way = select(func.count()).where(
        and_(
            leased.device_id == device_id,
            leased.state == "leased",
            func.coalesce(leased.study_id, SINGLE) == func.coalesce(JobRow.study_id, SINGLE),
        )
    )
    taken = func.coalesce(virtual.correlate(JobRow).scalar_subquery(), 0.0)
    return taken + ADVANCE_S * under_way.correlate(JobRow).scalar_subquery()


def _between(since: datetime, now: datetime) -> float:
    return min(max(0.0, (now - since).total_seconds()), LONGEST_SPAN_S)
