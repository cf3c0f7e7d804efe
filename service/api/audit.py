"""The audit log: who did what, and whether a line was changed since."""

from fastapi import APIRouter

from service.api.authorisation import administers
from service.api.dependencies import ServiceParts
from service.api.paging import Cursor, Limit, read_number, written_number
from service.api.schemas import AuditLine, AuditPage, AuditVerified
from service.store.audit import AuditLog, Broken

router = APIRouter(prefix="/audit", tags=["audit"], dependencies=[administers])


@router.get("")
def list_lines(parts: ServiceParts, limit: Limit = 50, cursor: Cursor = None) -> AuditPage:
    """List what was asked for and how it was answered, the newest first."""
    before = read_number(cursor, start=-1)
    with parts.database.read() as session:
        rows = AuditLog(session).page(None if before < 0 else before, limit + 1)
    lines = [AuditLine.model_validate(row) for row in rows]
    last = lines[limit - 1] if len(lines) > limit else None
    return AuditPage(items=lines[:limit], next_cursor=written_number(last.number) if last else None)


@router.get("/verification")
def verify(parts: ServiceParts) -> AuditVerified:
    """Read the whole log and say whether every line is as it was written; note `lines` and `head` to compare later."""
    with parts.database.read() as session:
        found = AuditLog(session).verify()
    if isinstance(found, Broken):
        return AuditVerified(intact=False, lines=found.number - 1, head="", first_broken=found.number)
    lines, head = found
    return AuditVerified(intact=True, lines=lines, head=head, first_broken=None)
