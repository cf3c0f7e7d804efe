"""Serves stations of a benchmark's own as the agent serves its own: a worker in a thread for each."""

import threading
from collections.abc import Sequence
from pathlib import Path

from devices.delivery import Delivery
from devices.membership import Membership
from devices.service_link import ServiceLink
from devices.station import Station
from devices.turns import Turns
from devices.worker import Worker


def serve_stations(
    name: str, stations: Sequence[Station], server: str, folder: Path, stop: threading.Event
) -> None:
    """Work until `stop` is set; no station is the machine that this runs on."""
    with ServiceLink(server) as link:
        membership = Membership(link, server, name, name)
        shared = membership, Delivery(folder / "spool"), Turns("none of these", None), stop
        workers = [Worker(station, server, *shared) for station in stations]
        threads = [threading.Thread(target=worker.work) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
