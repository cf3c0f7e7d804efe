"""What the service knows of an agent: registered when a device is first ready, and whenever that has changed."""

import logging
import threading
from collections.abc import Sequence

from devices.errors import DeviceNotTaken, ServiceRefused
from devices.service_link import DeviceRegistration, Registered, ServiceLink

log = logging.getLogger("loopfront.agent")


class Membership:
    """One agent's registration, which all its devices share."""

    def __init__(self, link: ServiceLink, server: str, name: str, identity: str) -> None:
        self._link, self._server, self._name, self._identity = link, server, name, identity
        self._lock = threading.Lock()
        self._presented: dict[tuple[str, str], DeviceRegistration] = {}
        self._registered: Registered | None = None
        self._is_start = True

    def ids_of(self, device: DeviceRegistration) -> tuple[str, str]:
        """Return the ids of the agent and of a device, registering whatever the service has not been told yet.

        Raises DeviceNotTaken if the service refuses what it is told of this device.
        """
        with self._lock:
            key = (device.identity, device.name)  # two ways to one machine are presented both
            before = self._presented.get(key)
            if before != device:
                self._presented[key] = device
                self._registered = None
            if self._registered is None:
                self._registered = self._register_with(key, before)
            return self._registered.agent_id, self._registered.device_ids[device.identity]

    @property
    def agent_id(self) -> str | None:
        """The id of the agent; None while it isn't registered."""
        registered = self._registered
        return registered.agent_id if registered is not None else None

    def forget(self) -> None:
        """Register anew next time: the service does not know us any more."""
        with self._lock:
            self._registered = None

    def _register_with(self, key: tuple[str, str], before: DeviceRegistration | None) -> Registered:
        """Register; where the service does not take this device as it is now, the others go on without it."""
        try:
            return self._register(list(self._presented.values()))
        except ServiceRefused as refusal:
            del self._presented[key]
            if before is not None:
                self._presented[key] = before
            raise DeviceNotTaken(f"the service does not take {key[1]!r}: {refusal}") from None

    def _register(self, devices: Sequence[DeviceRegistration]) -> Registered:
        registered = self._link.register(self._name, self._identity, devices, self._is_start)
        self._is_start = False
        names = ", ".join(device.name for device in devices)
        log.info("registered as %s at %s with %s", self._name, self._server, names)
        return registered
