"""Finished measurements and calibrations, found again by their cache key."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.errors import NotFound
from service.leases import CANDIDATE_FAULTS
from service.store.database import database_now
from service.store.identifiers import new_id
from service.store.rows import CalibrationRow, JobRow, MeasurementRow

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

    def newest_on(self, device_id: str) -> datetime | None:
        """Say when a device was measured last."""
        query = select(func.max(MeasurementRow.created_at)).where(MeasurementRow.device_id == device_id)
        return self.session.scalar(query)

    def add(self, job: JobRow, kind: str, outcome: Mapping[str, Any]) -> MeasurementRow:
        """Store a job's final outcome; it answers its cache key unless that is taken or bypassed."""
        reusable = {"measured"} if job.purpose == CALIBRATION else REUSED_KINDS
        answers = kind in reusable and not job.bypasses_cache and self.with_key(job.cache_key) is None
        row = MeasurementRow(
            id=new_id("measurement"),
            cache_key=job.cache_key if answers else None,
            job_id=job.id,
            device_id=job.device_id,
            kind=kind,
            outcome=dict(outcome),
            created_at=database_now(self.session),
        )
        self.session.add(row)
        self.session.flush()
        return row


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
