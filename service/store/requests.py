"""Users' wishes to measure one architecture outside a study."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.errors import NotFound
from service.store.database import database_now
from service.store.identifiers import new_id
from service.store.rows import MeasurementRequestRow

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
OPEN = (WAITING, RUNNING)


class MeasurementRequests:
    """Queries about measurement requests."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, request_id: str) -> MeasurementRequestRow:
        """Read one request."""
        row = self.session.get(MeasurementRequestRow, request_id)
        if row is None:
            raise NotFound(f"there is no measurement {request_id!r}", field="id", hint="ask for one anew")
        return row

    def open(self) -> Sequence[MeasurementRequestRow]:
        """List the requests that still have work, oldest first."""
        query = select(MeasurementRequestRow).where(MeasurementRequestRow.state.in_(OPEN))
        return self.session.scalars(query.order_by(MeasurementRequestRow.created_at)).all()

    def create(
        self, candidate_digest: str, device_id: str, conditions: Mapping[str, Any], fresh: bool
    ) -> MeasurementRequestRow:
        """Store a wish."""
        row = MeasurementRequestRow(
            id=new_id("request"),
            candidate_digest=candidate_digest,
            device_id=device_id,
            conditions=dict(conditions),
            state=WAITING,
            detail="",
            fresh=fresh,
            created_at=database_now(self.session),
        )
        self.session.add(row)
        self.session.flush()
        return row

    def end(self, request_id: str, state: str, detail: str = "") -> None:
        """Close a request unless it has ended already."""
        row = self.get(request_id)
        if row.state not in OPEN:
            return
        row.state = state
        row.detail = detail
        row.finished_at = database_now(self.session)
