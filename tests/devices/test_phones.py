"""Which phones there are, with the real adb server: known again on any way, named, complained of once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.adb import AdbServer
from devices.agent_config import PhoneEntry
from devices.errors import ConnectionFault, DeviceAway
from devices.phones import Phones
from tests.devices.adbd import a_phone, a_private_server, adb
from tests.devices.simulated_android import properties, tell_of_a_phone


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    with a_private_server(tmp_path_factory.mktemp("adb")) as running:
        yield running


def test_a_phone_that_is_reached_on_two_ways_is_one_phone(server: AdbServer, tmp_path: Path) -> None:
    with a_phone(tmp_path / "one", server) as one, a_phone(tmp_path / "other", server) as other:
        for way in (one, other):
            tell_of_a_phone(way)
        phones = Phones(server)
        (phone,) = phones.look()
        assert phone.name == "Simulated-X1-ABCD"
        assert set(phone.transports()) == {one.serial, other.serial}
        adb(server, "disconnect", phone.transport())
        phones.look()
        assert len(phone.transports()) == 1
        adb(server, "disconnect", phone.transport())
        phones.look()
        with pytest.raises(DeviceAway, match=r"Simulated-X1-ABCD is not connected: plug it in"):
            phone.transport()


def test_two_phones_of_one_model_and_ending_have_names_of_their_own(
    server: AdbServer, tmp_path: Path
) -> None:
    with a_phone(tmp_path / "one", server) as one, a_phone(tmp_path / "other", server) as other:
        tell_of_a_phone(one, "AAAA1234")
        tell_of_a_phone(other, "BBBB1234")
        names = {phone.name for phone in Phones(server).look()}
    assert len(names) == 2
    assert "Simulated-X1-1234" in names


def test_a_phone_is_called_what_its_owner_calls_it(server: AdbServer, tmp_path: Path) -> None:
    entries = (
        PhoneEntry("SIM0001ABCD", "red phone", "/data/x", {"owner": "lab"}),
        PhoneEntry("R5CT10ABCDE", "blue phone"),
    )
    with a_phone(tmp_path / "phone", server) as simulated:
        tell_of_a_phone(simulated)
        phones = Phones(server, entries)
        (phone,) = phones.look()
    assert (phone.name, phone.folder, phone.labels) == ("red phone", "/data/x", {"owner": "lab"})
    assert phones.entries_away() == entries[1:]


def test_phones_that_share_a_placeholder_for_a_serial_are_told_apart(
    server: AdbServer, tmp_path: Path
) -> None:
    with a_phone(tmp_path / "one", server) as one, a_phone(tmp_path / "other", server) as other:
        for phone, android_id in ((one, "9774d56d682e549c"), (other, "dead00beef001234")):
            phone.tell("getprop", properties("0123456789ABCDEF"))
            phone.tell("settings-android_id", android_id)
        assert len(Phones(server).look()) == 2


def test_a_phone_that_cannot_be_used_is_a_trouble_with_a_way_out(server: AdbServer, tmp_path: Path) -> None:
    with a_phone(tmp_path / "shy", server, accepts_new_keys=False) as shy:
        phones = Phones(server)
        assert phones.look() == ()
        (trouble,) = phones.troubles()
    assert (trouble.name, trouble.kind) == (shy.serial, "adb")
    assert "accept its dialog" in trouble.trouble


def test_without_adb_nobody_is_served_and_the_reason_is_told() -> None:
    with pytest.raises(ConnectionFault, match="adb is not installed"):
        Phones(AdbServer(port=1, program="/no/such/adb")).look()
