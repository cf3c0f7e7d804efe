"""How a device's time is shared: studies that wait for it get equal minutes of it, cool-downs included."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from service.store.database import database_now
from service.store.inserting import insert_unless_there
from service.store.lease_statements import (
    COUNT_TIME,
    LOCK_DEVICE,
    LOCK_LEASED_JOBS,
    SINGLE,
    LockedDevice,
    LockedJob,
)
from service.store.rows import DeviceShareRow, JobRow

LONGEST_SPAN_S = 300.0
"""Agents are heard of several times within it; a longer span was none that was measured: the clock was set."""


def sharer_of(study_id: str | None) -> str:
    """Name whom a job's time is counted for."""
    return study_id or SINGLE


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

    def lock(self, device_id: str) -> LockedDevice:
        """Lock a device, which is done before its jobs are: two that begin at different ends would wait for ever."""
        return LockedDevice._make(self.session.execute(LOCK_DEVICE, {"of_device": device_id}).one())

    def meter(self, device: LockedDevice) -> Sequence[LockedJob]:
        """Count the time since the last look for the jobs under lease, before those change; return them, locked."""
        now = database_now(self.session)
        jobs = [LockedJob(*row) for row in self.session.execute(LOCK_LEASED_JOBS, {"of_device": device.id})]
        if device.metered_at is not None and jobs:
            took = {
                "of_device": device.id,
                "at_time": now,
                "seconds": _between(device.metered_at, now) / len(jobs),
            }
            for job in jobs:
                of_job = {"of_job": job.id, "of_token": job.token, "for_sharer": sharer_of(job.study_id)}
                COUNT_TIME.execute(self.session, {**took, **of_job})
        return jobs

    def used_seconds(self, study_id: str) -> float:
        """Sum up what a study took of all devices."""
        query = select(func.sum(DeviceShareRow.used_seconds)).where(DeviceShareRow.sharer == study_id)
        return self.session.scalar(query) or 0.0

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


def _between(since: datetime, now: datetime) -> float:
    return min(max(0.0, (now - since).total_seconds()), LONGEST_SPAN_S)
