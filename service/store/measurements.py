"""Finished measurements and calibrations, found again by their cache key."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.errors import NotFound
from service.leases import CANDIDATE_FAULTS
from service.store.database import blobs_of, database_now
from service.store.identifiers import new_id
from service.store.lease_statements import LockedJob
from service.store.rows import CalibrationRow, DeviceRow, MeasurementRow
from service.store.samples import read_samples

# A timeout may be one stall of the machine: it is the trial's answer, but never another trial's.
REUSED_KINDS = (CANDIDATE_FAULTS | {"measured", "bandwidth_measured"}) - {"timed_out"}
CALIBRATION = "calibration"
"""A wrong output is our own bug and a lost device says nothing of the candidate: neither answers a later question."""


class Measurements:
    """Queries about measurements."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, measurement_id: str) -> MeasurementRow:
        """Read one measurement."""
        row = self.session.get(MeasurementRow, measurement_id)
        if row is None:
            raise NotFound(f"there is no measurement {measurement_id!r}", field="measurement_id")
        return row

    def with_key(self, cache_key: str) -> MeasurementRow | None:
        """Find the measurement that answers `cache_key`."""
        return self.session.scalar(select(MeasurementRow).where(MeasurementRow.cache_key == cache_key))

    def newest_on(self, device_ids: Collection[str]) -> dict[str, datetime | None]:
        """Say when each of these devices was measured last."""
        newest = select(func.max(MeasurementRow.created_at)).where(MeasurementRow.device_id == DeviceRow.id)
        query = select(DeviceRow.id, newest.scalar_subquery()).where(DeviceRow.id.in_(device_ids))
        return dict(self.session.execute(query).all())

    def newest_measured(self, device_id: str, newest: int) -> Sequence[MeasurementRow]:
        """List the newest measurements of models on a device, calibrations included, the newest first."""
        query = select(MeasurementRow).where(
            MeasurementRow.device_id == device_id, MeasurementRow.kind == "measured"
        )
        return self.session.scalars(query.order_by(MeasurementRow.created_at.desc()).limit(newest)).all()

    def distrust(self, job_id: str | None, measurement_id: str | None) -> None:
        """Let a failure, by its own id or its job's, answer no later question."""
        is_it = MeasurementRow.id == measurement_id if measurement_id else MeasurementRow.job_id == job_id
        for row in self.session.scalars(
            select(MeasurementRow).where(is_it, MeasurementRow.kind != "measured")
        ):
            row.cache_key = None

    def outcome_of(self, row: MeasurementRow) -> dict[str, Any]:
        """Give a measurement's whole outcome, its samples from where they lie."""
        if row.samples is None:
            return dict(row.outcome or {})
        return read_samples(blobs_of(self.session), row.samples)


def answered_key(job: LockedJob, kind: str) -> str | None:
    """Give the cache key that a job's final outcome answers unless another one does; None where it may answer none."""
    reusable = {"measured"} if job.purpose == CALIBRATION else REUSED_KINDS
    return job.cache_key if kind in reusable and not job.bypasses_cache else None


class Calibrations:
    """Queries about calibrations."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, calibration_id: str) -> CalibrationRow:
        """Read one calibration."""
        row = self.session.get(CalibrationRow, calibration_id)
        if row is None:
            raise NotFound(f"there is no calibration {calibration_id!r}")
        return row

    def by_measurement(self, measurement_ids: Collection[str]) -> dict[str, str]:
        """Find which of these measurements are calibrations, and which ones."""
        query = select(CalibrationRow.measurement_id, CalibrationRow.id).where(
            CalibrationRow.measurement_id.in_(measurement_ids)
        )
        return {row.measurement_id: row.id for row in self.session.execute(query)}

    def with_key(self, cache_key: str) -> CalibrationRow | None:
        """Find the calibration made under exactly these conditions."""
        return self.session.scalar(select(CalibrationRow).where(CalibrationRow.cache_key == cache_key))

    def add(
        self, measurement: MeasurementRow, cache_key: str, sentinel_version: str, reference: Mapping[str, Any]
    ) -> CalibrationRow:
        """Store the sentinel's reference times that `measurement` gave."""
        row = CalibrationRow(
            id=new_id("calibration"),
            cache_key=cache_key,
            device_id=measurement.device_id,
            measurement_id=measurement.id,
            sentinel_version=sentinel_version,
            reference=dict(reference),
            created_at=database_now(self.session),
        )
        self.session.add(row)
        self.session.flush()
        return row
