"""Whether the service works, and which one it is."""

from fastapi import APIRouter
from sqlalchemy import text

from service.api.dependencies import PROTOCOL, ServiceParts
from service.api.schemas import Health, VersionOut
from service.version import VERSION

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz(parts: ServiceParts) -> Health:
    """Answer if the database does."""
    with parts.database.read() as session:
        session.execute(text("SELECT 1"))
    return Health(status="ok", trouble=parts.trouble)


@router.get("/version")
def read_version() -> VersionOut:
    """Say the version and the agent protocol."""
    return VersionOut(version=VERSION, protocol=PROTOCOL)
