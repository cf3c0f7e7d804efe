"""Order measurements: reuse one that is stored, join one under way, or put a new job on the device's list."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from devices.calibration import reference_from
from devices.outcome import Measured
from devices.plan import MeasurementPlan, SentinelReference, to_dict
from devices.quiet import quiet_host
from operators.architecture import Architecture
from operators.graph_check import check_graph
from service.leases import DONE
from service.measured_cache import read_outcome
from service.measurement_plans import (
    Calibration,
    Conditions,
    DeviceTarget,
    Lowered,
    cache_key,
    calibration_plan,
    candidate_plan,
    lower_model,
    lower_sentinel,
)
from service.parts import Parts
from service.sentinel import SENTINEL_VERSION
from service.store.jobs import JobDraft, Jobs
from service.store.measurements import Calibrations, Measurements
from service.store.rows import CalibrationRow, DeviceRow

CALIBRATION_PRIORITY = 10


@dataclass(frozen=True)
class Order:
    """An architecture to be measured on a device, for whom and why."""

    architecture: Architecture
    conditions: Conditions
    target: DeviceTarget
    calibration: Calibration
    purpose: str
    study_id: str | None
    fresh: bool = False


@dataclass(frozen=True)
class Answered:
    """A stored measurement answers the order."""

    measurement_id: str
    work_seconds: float = 0.0


@dataclass(frozen=True)
class Pending:
    """A job answers the order once it is done; `work_seconds` went into building it."""

    job_id: str
    work_seconds: float = 0.0


@dataclass(frozen=True)
class Refused:
    """The calibration couldn't be measured."""

    detail: str


class MeasurementDesk:
    """Takes orders; the same order under the same conditions is measured once."""

    def __init__(self, parts: Parts, stop: threading.Event) -> None:
        self.parts = parts
        self._stop = stop

    def calibrate(
        self, target: DeviceTarget, of: Conditions, study_id: str | None, since: datetime
    ) -> Calibration | Pending | Refused:
        """Find the sentinel's level on a device, or have it measured; failures before `since` don't count."""
        conditions = of.of_sentinel()
        key = cache_key(lower_sentinel(conditions.workload).files, conditions, target, None)
        with self.parts.database.write() as session:
            known = _known_calibration(session, key)
            latest = None if known else Jobs(session).latest_with_key(key)
        if known is not None:
            return read_calibration(known)
        if latest is not None and latest.state == DONE and latest.created_at >= since:
            return Refused(f"the sentinel couldn't be measured: {latest.outcome}: {latest.detail}")
        if latest is not None and latest.state != DONE:
            return Pending(latest.id)
        return self._create_calibration(conditions, target, key, study_id)

    def order(self, order: Order) -> Answered | Pending:
        """Answer from the store, join a job under way, or create one."""
        started = time.perf_counter()
        conditions = order.conditions
        lowered = lower_model("candidate", order.architecture, conditions.precision, conditions.workload)
        lowering_seconds = time.perf_counter() - started
        key = cache_key(lowered.files, order.conditions, order.target, order.calibration.calibration_id)
        known = None if order.fresh else self._known(key)
        if known is not None:
            return replace(known, work_seconds=lowering_seconds)
        with quiet_host(stop=self._stop):
            building = time.perf_counter()  # waiting for the lock was no work
            plan = candidate_plan(order.architecture, lowered, conditions, order.calibration)
            job = self._create(plan, lowered, _draft(order, key))
        return replace(job, work_seconds=lowering_seconds + time.perf_counter() - building)

    def _known(self, key: str) -> Answered | Pending | None:
        with self.parts.database.read() as session:
            measurement = Measurements(session).with_key(key)
            job = Jobs(session).open_with_key(key)
        if measurement is not None:
            return Answered(measurement.id)
        return Pending(job.id) if job is not None else None

    def _create_calibration(
        self, conditions: Conditions, target: DeviceTarget, key: str, study_id: str | None
    ) -> Pending:
        with quiet_host(stop=self._stop):
            plan = calibration_plan(conditions)
        draft = JobDraft(target.device_id, study_id, "calibration", key, to_dict(plan), CALIBRATION_PRIORITY)
        return self._create(plan, lower_sentinel(conditions.workload), draft)

    def _create(self, plan: MeasurementPlan, lowered: Lowered, draft: JobDraft) -> Pending:
        # Graphs first: a job on the list can be leased at once, and its agent will ask for them.
        for each in (lowered, lower_sentinel(plan.workload)):
            check_graph(each.graph.onnx_bytes, each.files.pool.size_bytes)
            self.parts.blobs.put(each.graph.onnx_bytes)
        with self.parts.database.write() as session:
            job = Jobs(session).create(replace(draft, plan=to_dict(plan)))
        self.parts.bell.ring()
        return Pending(job.id)


def device_target(device: DeviceRow) -> DeviceTarget:
    """Read what a measurement depends on from a device's row."""
    return DeviceTarget(device.id, device.facts)


def read_calibration(row: CalibrationRow) -> Calibration:
    """Read a calibration's row."""
    return Calibration(row.id, SentinelReference(**row.reference))


def _draft(order: Order, key: str) -> JobDraft:
    return JobDraft(
        device_id=order.target.device_id,
        study_id=order.study_id,
        purpose=order.purpose,
        cache_key=key,
        plan={},
        bypasses_cache=order.fresh,
    )


def _known_calibration(session: Session, key: str) -> CalibrationRow | None:
    known = Calibrations(session).with_key(key)
    if known is not None:
        return known
    measurement = Measurements(session).with_key(key)
    measured = read_outcome(session, measurement.id) if measurement is not None else None
    if measurement is None or not isinstance(measured, Measured):
        return None
    reference = reference_to_dict(reference_from(measured))
    return Calibrations(session).add(measurement, key, SENTINEL_VERSION, reference)


def reference_to_dict(reference: SentinelReference) -> Mapping[str, Any]:
    """Write a sentinel reference as plain JSON values."""
    return {
        "prefill_ms": reference.prefill_ms,
        "decode_ms": reference.decode_ms,
        "prefill_log_spread": reference.prefill_log_spread,
        "decode_log_spread": reference.decode_log_spread,
    }
