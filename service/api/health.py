"""Whether the service works, and which one it is."""

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service.api.dependencies import PROTOCOL, ServiceParts
from service.api.schemas import Health, Ready, VersionOut
from service.data_folder import full_disk
from service.errors import StorageTrouble
from service.parts import Parts
from service.version import VERSION

router = APIRouter(tags=["health"])
PROBE = b"a blob of loopfront that tells whether blobs can be stored"


@router.get("/healthz")
def healthz(parts: ServiceParts) -> Health:
    """Answer while this process does: to start it again would mend nothing that `readyz` tells."""
    return Health(status="ok", trouble=parts.trouble)


@router.get("/readyz", responses={503: {"model": Ready}})
def readyz(parts: ServiceParts, response: Response) -> Ready:
    """Say whether work can be taken now: the database can be written and has room, graphs can be stored."""
    disk = full_disk(parts.settings.data_folder)
    troubles = [*_trouble_of_database(parts), *_trouble_of_blobs(parts), *filter(None, [disk])]
    response.status_code = 503 if troubles else 200
    return Ready(ready=not troubles, troubles=troubles)


def _trouble_of_database(parts: Parts) -> list[str]:
    try:
        with parts.database.write() as session:
            session.execute(text("SELECT 1"))
    except (SQLAlchemyError, StorageTrouble) as error:
        return [f"the database can't be written: {str(error).splitlines()[0]}"]
    return []


def _trouble_of_blobs(parts: Parts) -> list[str]:
    try:
        parts.blobs.put(PROBE)
    except (StorageTrouble, OSError) as error:
        return [str(error)]
    return []


@router.get("/version")
def read_version() -> VersionOut:
    """Say the version and the agent protocol."""
    return VersionOut(version=VERSION, protocol=PROTOCOL)
