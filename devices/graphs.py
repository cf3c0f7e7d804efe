"""Fetches the graphs of a job from the service before its device is needed."""

import logging
import threading

from devices.errors import AgentUnwelcome, BlobDamaged, MeasurementStopped, ServiceAway
from devices.plan import MeasurementPlan
from devices.service_link import ServiceLink
from devices.steps import Steps

log = logging.getLogger("loopfront.agent")

# A graph that arrives damaged so often is damaged where it lies.
_FETCHES = 3

_PAUSE_S = 0.5


class Graphs:
    """Of each job it keeps the sentinel's graph: most likely the next job has the same."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def of(
        self, plan: MeasurementPlan, link: ServiceLink, give_up: threading.Event
    ) -> Steps[dict[str, bytes]]:
        """Return both graphs of a plan by sha256, waiting for a service that is away.

        Raises BlobDamaged if one arrives damaged again and again, ServiceRefused if it is not handed out, and
        MeasurementStopped if `give_up` is set first.
        """
        sentinel, graphs = plan.sentinel.graph_sha256, dict(self._kept)
        for sha256 in {plan.candidate.graph_sha256, sentinel} - set(graphs):
            graphs[sha256] = yield from _fetch(sha256, link, give_up)
        self._kept = {sentinel: graphs[sentinel]}
        return graphs


def _fetch(sha256: str, link: ServiceLink, give_up: threading.Event) -> Steps[bytes]:
    damaged = 0
    while not give_up.is_set():
        try:
            return link.blob(sha256)
        except (ServiceAway, AgentUnwelcome) as away:
            log.warning("job graphs: %s", away)
        except BlobDamaged as damage:
            damaged += 1
            log.warning("job graphs: %s", damage)
            if damaged == _FETCHES:
                raise
        yield _PAUSE_S
    raise MeasurementStopped("asked to stop before the graphs had arrived")
