"""The identity of a machine or a phone: stable, and not its machine id or serial number itself."""

from pathlib import Path

import pytest

from devices.identity import machine_identity, own_serial, phone_identity


def test_the_machine_id_is_hashed_and_the_same_everywhere(tmp_path: Path) -> None:
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("0123456789abcdef\n")
    first = machine_identity(tmp_path / "one", (machine_id,))
    assert first == machine_identity(tmp_path / "two", (machine_id,))
    assert "0123456789abcdef" not in first


@pytest.mark.parametrize("text", [None, "", "uninitialized\n"])
def test_without_a_machine_id_one_is_made_and_kept(tmp_path: Path, text: str | None) -> None:
    machine_id = tmp_path / "machine-id"
    if text is not None:
        machine_id.write_text(text)
    first = machine_identity(tmp_path / "agent", (machine_id,))
    assert first == machine_identity(tmp_path / "agent", (machine_id,))
    assert first != machine_identity(tmp_path / "another", (machine_id,))


def test_a_phone_is_the_same_on_every_way_and_its_serial_is_not_shown() -> None:
    told = {"ro.serialno": "R5CT10ABCDE"}
    on_usb = phone_identity(told, "R5CT10ABCDE", lambda: None)
    assert on_usb == phone_identity(told, "192.168.1.7:40123", lambda: "another answer")
    assert on_usb != phone_identity({"ro.serialno": "R5CT10ABCDF"}, "R5CT10ABCDE", lambda: None)
    assert on_usb == phone_identity({"ro.boot.serialno": "R5CT10ABCDE"}, "x", lambda: None)
    assert "R5CT10ABCDE" not in on_usb


@pytest.mark.parametrize(
    "serial", ["", "unknown", "0123456789ABCDEF", "123456789", "000000", "EMULATOR34X1X11X0"]
)
def test_a_placeholder_for_a_serial_does_not_make_two_phones_one(serial: str) -> None:
    told = {"ro.serialno": serial}
    first = phone_identity(told, "emulator-5554", lambda: "9774d56d682e549c")
    assert first != phone_identity(told, "emulator-5556", lambda: "dead00beef001234")
    assert first == phone_identity(told, "another way", lambda: "9774d56d682e549c")
    assert phone_identity(told, "one", lambda: None) != phone_identity(told, "other", lambda: None)


def test_a_phone_may_not_tell_its_serial() -> None:
    assert own_serial({}) == ""
