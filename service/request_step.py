"""Say in words where a measurement request stands."""

from sqlalchemy.orm import Session

from service.device_state import waiting_words
from service.leases import LEASED
from service.store.agents import Devices
from service.store.jobs import Jobs
from service.store.requests import OPEN, RUNNING, WAITING
from service.store.rows import MeasurementRequestRow


def request_step(session: Session, row: MeasurementRequestRow) -> str:
    """Return what is being done for a request now, or what keeps it waiting."""
    obstacle = waiting_words(session, Devices(session).get(row.device_id))
    if obstacle and row.state in OPEN:
        return obstacle
    if row.state == WAITING:
        return "calibrating the device with the sentinel" if row.calibration_id is None else "building"
    if row.job_id is None or row.state != RUNNING:
        return row.state
    job = Jobs(session).get(row.job_id)
    return "measuring" if job.state == LEASED else f"waiting for the device {job.detail}".strip()
