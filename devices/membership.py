"""What the service knows of an agent: registered when a device is first ready, and whenever that has changed."""

import logging
import threading
from collections.abc import Sequence

from devices.service_link import DeviceRegistration, Registered, ServiceLink

log = logging.getLogger("loopfront.agent")


class Membership:
    """One agent's registration, which all its devices share."""

    def __init__(self, link: ServiceLink, server: str, name: str, identity: str) -> None:
        self._link, self._server, self._name, self._identity = link, server, name, identity
        self._lock = threading.Lock()
        self._presented: dict[str, DeviceRegistration] = {}
        self._registered: Registered | None = None
        self._is_start = True

    def ids_of(self, device: DeviceRegistration) -> tuple[str, str]:
        """Return the ids of the agent and of a device, registering whatever the service has not been told yet."""
        with self._lock:
            if self._presented.get(device.identity) != device:
                self._presented[device.identity] = device
                self._registered = None
            if self._registered is None:
                self._registered = self._register(list(self._presented.values()))
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

    def _register(self, devices: Sequence[DeviceRegistration]) -> Registered:
        registered = self._link.register(self._name, self._identity, devices, self._is_start)
        self._is_start = False
        names = ", ".join(device.name for device in devices)
        log.info("registered as %s at %s with %s", self._name, self._server, names)
        return registered
