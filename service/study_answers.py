"""Read what became of a trial on a target: nothing yet, a measurement, or a failure."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from devices.outcome import BandwidthMeasured, Measured
from service.leases import DONE
from service.measured_cache import read_outcome
from service.store.jobs import Jobs
from service.store.rows import TrialMeasurementRow


@dataclass(frozen=True)
class Failure:
    """Why there are no numbers: the outcome's kind, its reason, and whether the candidate is to blame."""

    kind: str
    reason: str


def read_answer(session: Session, row: TrialMeasurementRow) -> Measured | Failure | None:
    """Give the answer of one target; None while its job is under way."""
    measurement_id = row.measurement_id
    if measurement_id is None and row.job_id is not None:
        job = Jobs(session).get(row.job_id)
        if job.state != DONE:
            return None
        measurement_id = job.measurement_id
        if measurement_id is None:
            return Failure(job.outcome, job.detail)
    if measurement_id is None:
        return None
    return _read_measurement(session, measurement_id)


def _read_measurement(session: Session, measurement_id: str) -> Measured | Failure:
    outcome = read_outcome(session, measurement_id)
    if isinstance(outcome, Measured):
        return outcome
    assert not isinstance(outcome, BandwidthMeasured), "a trial's job answers with nothing else"
    return Failure(outcome.kind, outcome.reason)
