"""Quality values that users found elsewhere and posted to a trial."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.store.database import database_now
from service.store.rows import ExternalQualityRow


@dataclass(frozen=True)
class ExternalQuality:
    """A value with its 95 % interval, which way is better, and where it is from."""

    metric: str
    direction: str
    value: float
    low: float
    high: float
    source: str


class ExternalQualities:
    """Queries about posted quality values."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def put(self, trial_id: str, given: ExternalQuality) -> None:
        """Store a value, over what was posted under this metric before."""
        now = database_now(self.session)
        row = self.session.get(ExternalQualityRow, (trial_id, given.metric))
        if row is None:
            row = ExternalQualityRow(trial_id=trial_id, metric=given.metric)
            self.session.add(row)
        row.direction, row.source = given.direction, given.source
        row.value, row.low, row.high = given.value, given.low, given.high
        row.posted_at = now

    def of_trial(self, trial_id: str) -> Sequence[ExternalQualityRow]:
        """List a trial's posted values by metric."""
        query = select(ExternalQualityRow).where(ExternalQualityRow.trial_id == trial_id)
        return self.session.scalars(query.order_by(ExternalQualityRow.metric)).all()
