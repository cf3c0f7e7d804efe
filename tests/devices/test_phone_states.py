"""What adb says of phones, read from its own lines, and the hint for each."""

import pytest

from devices.phone_states import SeenPhone, is_network_address, is_wireless, seen_phones

# As `adb devices` of version 29 and 35 print them.
LISTING = (
    "R5CT10ABCDE\tdevice\n192.168.1.7:40123\toffline\n"
    "????????????\tno permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com]\n"
    "adb-R5CT10ABCDE-x1y2z3._adb-tls-connect._tcp\tunauthorized\n"
)


def test_a_listing_is_read_with_states_of_many_words() -> None:
    usb, wifi, barred, paired = seen_phones(LISTING)
    assert usb == SeenPhone("R5CT10ABCDE", "device")
    assert (wifi.serial, wifi.state) == ("192.168.1.7:40123", "offline")
    assert barred.state.startswith("no permissions (user in plugdev")
    assert [phone.is_usable for phone in (usb, wifi, barred, paired)] == [True, False, False, False]
    assert seen_phones("") == ()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("unauthorized", "unauthorized: unlock the phone and accept its dialog"),
        ("authorizing", "authorizing: wait a moment; else unlock the phone and accept its dialog"),
        ("offline", "offline: unplug it and plug it in again, or type: adb reconnect offline"),
        ("no permissions; see [http://...]", "no permissions: this user may not open the USB device"),
        ("recovery", "recovery: start Android on it: adb -s R5CT10ABCDE reboot"),
        ("sideload", "sideload: start Android on it: adb -s R5CT10ABCDE reboot"),
        ("bootloader", "bootloader: start Android on it: fastboot reboot"),
        ("unheard-of", "unheard-of: adb calls it 'unheard-of'; unplug it"),
    ],
)
def test_each_state_has_a_way_out(state: str, words: str) -> None:
    assert SeenPhone("R5CT10ABCDE", state).trouble.startswith(words)


def test_a_usable_phone_has_no_trouble() -> None:
    assert SeenPhone("R5CT10ABCDE", "device").trouble == ""


def test_ways_over_the_network_are_told_from_usb() -> None:
    assert [is_network_address(phone.serial) for phone in seen_phones(LISTING)] == [False, True, False, False]
    assert [is_wireless(phone.serial) for phone in seen_phones(LISTING)] == [False, True, False, True]
    assert is_network_address("[fe80::1]:5555")
    assert not is_network_address(":5555")
