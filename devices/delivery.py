"""Hands finished outcomes in: from the spool to the service, by one thread at a time."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devices.errors import ServiceRefused, ServiceStumbled
from devices.service_link import ServiceLink
from devices.spool import Spool

log = logging.getLogger("loopfront.agent")


class Delivery:
    """The spool of one agent, which all its devices share."""

    def __init__(self, folder: Path, server: str) -> None:
        self._spool = Spool(folder, server)
        self._lock = threading.Lock()

    def put(self, job_id: str, token: int, outcome: Mapping[str, Any]) -> None:
        """Keep a finished outcome until it is delivered."""
        with self._lock:
            self._spool.put(job_id, token, outcome)

    def deliver(self, link: ServiceLink) -> None:
        """Hand in everything that waits; raises ServiceAway, and what is left waits on."""
        stumbled: ServiceStumbled | None = None
        with self._lock:
            for spooled in self._spool.waiting():
                try:
                    receipt = link.report(spooled.job_id, spooled.token, spooled.outcome)
                except (ServiceRefused, ValueError) as refusal:  # or no JSON holds it
                    log.error("job %s: the result is refused and set aside: %s", spooled.job_id, refusal)
                    self._spool.set_aside(spooled.path)
                    continue
                except ServiceStumbled as trouble:  # over this one, perhaps not over the next
                    stumbled = trouble
                    continue
                self._spool.acknowledge(spooled)
                log.info("job %s: %s, %s", spooled.job_id, spooled.outcome.get("kind"), receipt.value)
        if stumbled is not None:
            raise stumbled
