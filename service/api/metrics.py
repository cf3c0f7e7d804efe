"""Prometheus metrics."""

from fastapi import APIRouter, Request, Response

from service.api.authorisation import reads
from service.metrics import Metrics

router = APIRouter(tags=["health"], dependencies=[reads])
TEXT = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/metrics", responses=TEXT, response_class=Response)  # type: ignore[arg-type]
def read_metrics(request: Request) -> Response:
    """Give metrics in Prometheus' text format."""
    metrics = request.app.state.metrics
    assert isinstance(metrics, Metrics)
    return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
