"""Serves stations of a benchmark's own as the agent serves its own: a worker in a thread for each."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from devices.agent_token import AgentToken
from devices.delivery import Delivery
from devices.membership import Membership
from devices.service_link import ServiceLink
from devices.station import Station
from devices.station_board import StationBoard
from devices.turns import Turns
from devices.worker import Shared, Worker


def serve_stations(
    name: str, stations: Sequence[Station], server: str, token_path: Path, folder: Path, stop: threading.Event
) -> None:
    """Work until `stop` is set; no station is the machine that this runs on."""
    make_link = partial(ServiceLink, server, AgentToken(token_path))
    with make_link() as link:
        membership, board = Membership(link, server, name, name), StationBoard()
        turns = Turns("none of these", None)
        shared = Shared(make_link, membership, Delivery(folder / "spool", server), turns, board, stop)
        work: list[Callable[[], None]] = [Worker(station, shared).work for station in stations]
        work.append(lambda: board.pass_on(make_link, membership, stop))
        threads = [threading.Thread(target=each) for each in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
