"""Parsed measurements, kept in memory: they never change, and a live page asks for them again and again."""

from collections import OrderedDict
from threading import Lock

from sqlalchemy.orm import Session

from devices.outcome import Measured, Outcome, outcome_from_dict
from service.store.measurements import Measurements

LARGEST = 512


class MeasuredCache:
    """The most recently used measurements by id."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._known: OrderedDict[str, Measured | None] = OrderedDict()
        self._lock = Lock()

    def read(self, session: Session, measurement_id: str) -> Measured | None:
        """Give a measurement; None where it failed."""
        with self._lock:
            if measurement_id in self._known:
                self._known.move_to_end(measurement_id)
                return self._known[measurement_id]
        outcome = read_outcome(session, measurement_id)
        measured = outcome if isinstance(outcome, Measured) else None
        with self._lock:
            self._known[measurement_id] = measured
            while len(self._known) > self._largest:
                self._known.popitem(last=False)
        return measured


def read_outcome(session: Session, measurement_id: str) -> Outcome:
    """Read what came of a measurement, all samples included."""
    measurements = Measurements(session)
    return outcome_from_dict(measurements.outcome_of(measurements.get(measurement_id)))
