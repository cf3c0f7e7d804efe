"""Blobs: graphs by their digest."""

from fastapi import APIRouter
from fastapi.responses import FileResponse

from service.api.dependencies import ServiceParts

router = APIRouter(prefix="/blobs", tags=["blobs"])


@router.get("/{sha256}", response_class=FileResponse)
def read_blob(sha256: str, parts: ServiceParts) -> FileResponse:
    """Download a blob."""
    return FileResponse(parts.blobs.path(sha256), media_type="application/octet-stream")
