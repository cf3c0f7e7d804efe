"""What adb says of each phone that it sees, and what its owner can do about it."""

from dataclasses import dataclass

_AGAIN = "unplug it and plug it in again, or type: adb reconnect offline; if that does not help, restart it"
_DIALOG = (
    "unlock the phone and accept its dialog 'Allow USB debugging?' (tick 'Always allow from this computer'); "
    "if none appears, unplug it and plug it in again"
)
_ANDROID = "start Android on it: adb -s {serial} reboot"

_HINTS = {
    "unauthorized": _DIALOG,
    "authorizing": f"wait a moment; else {_DIALOG}",
    "connecting": "wait a moment",
    "offline": _AGAIN,
    "no permissions": (
        "this user may not open the USB device; on Debian and Ubuntu type: sudo apt install "
        "android-sdk-platform-tools-common && sudo usermod -aG plugdev $USER, log in again, type: adb kill-server, "
        "and plug it in again"
    ),
    "recovery": _ANDROID,
    "rescue": _ANDROID,
    "sideload": _ANDROID,
    "bootloader": "start Android on it: fastboot reboot",
}
"""By the states that `adb devices` prints; `no permissions` has more words behind it, which differ by version."""


@dataclass(frozen=True)
class SeenPhone:
    """One line of `adb devices`: a way to a phone, over USB or (as HOST:PORT) over the network."""

    serial: str
    state: str

    @property
    def is_usable(self) -> bool:
        """Tell whether commands may be run on it."""
        return self.state == "device"

    @property
    def trouble(self) -> str:
        """Say what keeps the phone from being used, with the way out; empty if nothing does."""
        if self.is_usable:
            return ""
        kind = next((known for known in _HINTS if self.state.startswith(known)), None)
        hint = _HINTS[kind] if kind else f"adb calls it {self.state!r}; {_AGAIN}"
        return f"{kind or self.state}: {hint.format(serial=self.serial)}"


def seen_phones(listing: str) -> tuple[SeenPhone, ...]:
    """Read the lines of `adb devices`: a serial, a tab, a state that may hold blanks."""
    pairs = (line.partition("\t") for line in listing.splitlines())
    return tuple(SeenPhone(serial.strip(), state.strip()) for serial, tab, state in pairs if tab)


def is_network_address(serial: str) -> bool:
    """Tell a phone that `adb connect` reached from one on USB."""
    host, colon, port = serial.rpartition(":")
    return bool(host and colon) and port.isdecimal()


def is_wireless(serial: str) -> bool:
    """Tell a phone on Wi-Fi, connected by hand or found by its announcement, from one on USB."""
    return is_network_address(serial) or "._adb" in serial
