"""One agent's registration: a device that the service refuses keeps no other from working."""

from collections.abc import Sequence

import pytest

from devices.errors import DeviceNotTaken, ServiceRefused
from devices.membership import Membership
from devices.service_link import DeviceRegistration, Registered, ServiceLink


class PickyLink(ServiceLink):
    """A link in a service's place that takes no device with a bad name."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.calls = 0

    def register(
        self, name: str, identity: str, devices: Sequence[DeviceRegistration], is_start: bool = True
    ) -> Registered:
        self.calls += 1
        if any("/" in device.name for device in devices):
            raise ServiceRefused("422 String should match pattern")
        return Registered("agent", {device.identity: f"id of {device.identity}" for device in devices})


def a_device(identity: str, name: str = "") -> DeviceRegistration:
    return DeviceRegistration(identity, name or identity, "ssh", {}, {})


def test_a_device_that_is_refused_keeps_no_other_from_working() -> None:
    with PickyLink() as link:
        membership = Membership(link, "http://service", "host", "agent")
        assert membership.ids_of(a_device("one")) == ("agent", "id of one")
        with pytest.raises(DeviceNotTaken, match="'two/2'"):
            membership.ids_of(a_device("two", "two/2"))
        assert membership.ids_of(a_device("one")) == ("agent", "id of one")
        assert membership.ids_of(a_device("two")) == ("agent", "id of two")


def test_two_ways_to_one_machine_are_registered_once_each() -> None:
    with PickyLink() as link:
        membership = Membership(link, "http://service", "host", "agent")
        for _ in range(5):
            for name in ("by cable", "by air"):
                assert membership.ids_of(a_device("one", name)) == ("agent", "id of one")
        assert link.calls == 2
