"""Lead one measurement request: calibrate its device, order the measurement, close it."""

import threading

from operators.notation import architecture_from_dict
from operators.precision import Precision
from service.leases import CANCELLED, DONE
from service.measurement_desk import Answered, MeasurementDesk, Order, Pending, Refused, device_target
from service.measurement_plans import Calibration, Conditions, Measuring
from service.parts import Parts
from service.store import requests
from service.store.agents import Devices
from service.store.jobs import Jobs
from service.store.requests import MeasurementRequests
from service.store.rows import MeasurementRequestRow
from service.store.trials import Candidates
from service.workloads import workload_of


def step_request(parts: Parts, request_id: str, stop: threading.Event) -> bool:
    """Do the next thing for a request; False when it waits for its device."""
    with parts.database.read() as session:
        row = MeasurementRequests(session).get(request_id)
    if row.job_id is None:
        return _order(parts, row, MeasurementDesk(parts, stop))
    return _close_if_answered(parts, row)


def conditions_of(row: MeasurementRequestRow) -> Conditions:
    """Read the conditions that a request names."""
    given = row.conditions
    measuring = Measuring(**given.get("measuring", {}))  # requests of an earlier version name none
    return Conditions(workload_of(given["workload"]), Precision(**given["precision"]), measuring)


def _order(parts: Parts, row: MeasurementRequestRow, desk: MeasurementDesk) -> bool:
    conditions = conditions_of(row)
    with parts.database.read() as session:
        target = device_target(Devices(session).get(row.device_id))
        architecture = architecture_from_dict(Candidates(session).get(row.candidate_digest).architecture)
    calibration = desk.calibrate(target, conditions, None, row.created_at)
    if isinstance(calibration, Refused):
        _end(parts, row.id, requests.FAILED, calibration.detail)
        return True
    if not isinstance(calibration, Calibration):
        return False
    order = Order(architecture, conditions, target, calibration, "single", None, row.fresh)
    _attach(parts, row.id, calibration, desk.order(order))
    return True


def _attach(parts: Parts, request_id: str, calibration: Calibration, found: Answered | Pending) -> None:
    with parts.database.write() as session:
        row = MeasurementRequests(session).get(request_id)
        row.calibration_id = calibration.calibration_id
        row.state = requests.RUNNING if row.state == requests.WAITING else row.state
        if isinstance(found, Answered):
            row.measurement_id = found.measurement_id
            MeasurementRequests(session).end(request_id, requests.DONE)
        else:
            row.job_id = found.job_id


def _close_if_answered(parts: Parts, row: MeasurementRequestRow) -> bool:
    with parts.database.write() as session:
        job = Jobs(session).get(row.job_id or "")
        stored = MeasurementRequests(session).get(row.id)
        if job.state == CANCELLED:
            stored.job_id = (
                None  # a study's job that ended as this request joined it: the next step orders anew
            )
            return True
        if job.state != DONE:
            return False
        stored.measurement_id = job.measurement_id
        if job.outcome == "measured":
            MeasurementRequests(session).end(row.id, requests.DONE)
        else:
            MeasurementRequests(session).end(row.id, requests.FAILED, f"{job.outcome}: {job.detail}")
    return True


def _end(parts: Parts, request_id: str, state: str, detail: str) -> None:
    with parts.database.write() as session:
        MeasurementRequests(session).end(request_id, state, detail)
