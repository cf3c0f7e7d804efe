"""Keeps the service told how this agent stands to each of its devices, also while all of them rest."""

import logging
import threading
from collections.abc import Callable

from devices.errors import ServiceRefused
from devices.membership import Membership
from devices.service_link import ServiceLink, StationReport

log = logging.getLogger("loopfront.agent")

_REPEAT_S = 20.0
"""The service takes an agent for gone that was not heard of for 45 s."""
_LOOK_S = 0.5


class StationBoard:
    """What every device's thread last said; one thread passes it on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stations: dict[str, StationReport] = {}
        self._version = 0

    def tell(self, station: StationReport) -> None:
        """Put up how the agent stands to a device; one that knows no identity keeps the one it had."""
        with self._changed:
            before = self._stations.get(station.name)
            if before is not None and station.identity is None:
                station = StationReport(
                    station.name, station.kind, station.state, station.words, before.identity
                )
            if station != before:
                self._stations[station.name] = station
                self._version += 1
                self._changed.notify_all()

    def forget(self, name: str) -> None:
        """Take a device down that the agent no longer knows, such as a phone that was unplugged."""
        with self._changed:
            if self._stations.pop(name, None) is not None:
                self._version += 1
                self._changed.notify_all()

    def pass_on(
        self, make_link: Callable[[], ServiceLink], membership: Membership, stop: threading.Event
    ) -> None:
        """Tell the service of every change, and all of it again every 20 s, until `stop` is set."""
        told = -1
        with make_link() as link:
            while not stop.is_set():
                version, stations = self._look()
                agent_id = membership.agent_id
                if agent_id is None or not stations:
                    stop.wait(_LOOK_S)
                elif _told(link, agent_id, stations, membership):
                    told = version
                    self._wait_for_change(told, stop)
                else:
                    stop.wait(_REPEAT_S / 4)

    def _look(self) -> tuple[int, list[StationReport]]:
        with self._changed:
            return self._version, list(self._stations.values())

    def _wait_for_change(self, told: int, stop: threading.Event) -> None:
        waited_s = 0.0
        while waited_s < _REPEAT_S and not stop.is_set():
            with self._changed:
                if self._changed.wait_for(lambda: self._version != told, _LOOK_S):
                    return
            waited_s += _LOOK_S


def _told(link: ServiceLink, agent_id: str, stations: list[StationReport], membership: Membership) -> bool:
    try:
        link.tell_stations(agent_id, stations)
    except ServiceRefused as refusal:
        membership.forget()  # a new database does not know us; a worker registers again
        log.warning("stations: the service refuses: %s", refusal)
        return False
    except Exception as trouble:  # whatever it is, the next time may go well
        log.info("stations: not told: %s", trouble)
        return False
    return True
