"""Blobs: graphs by their digest."""

import structlog
from fastapi import APIRouter, Depends
from fastapi.responses import Response

from service.api.dependencies import ServiceParts, require_agent
from service.errors import BlobDamaged

router = APIRouter(prefix="/blobs", tags=["blobs"], dependencies=[Depends(require_agent)])
log = structlog.get_logger()


@router.get("/{sha256}", response_class=Response)
def read_blob(sha256: str, parts: ServiceParts) -> Response:
    """Download a blob; 410 when the disk no longer holds what was stored."""
    try:
        content = parts.blobs.read(sha256)
    except BlobDamaged as damage:
        log.error("a stored graph is damaged", error=damage.line)
        raise
    return Response(content, media_type="application/octet-stream")
