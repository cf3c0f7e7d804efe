"""A stable identity for a machine or a phone that reveals nothing about it."""

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

MACHINE_ID_PATHS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))

_PLACEHOLDER = re.compile(r"|unknown|0*|(0123456789|123456789)[a-f]*|emulator.*", re.IGNORECASE)


def machine_identity(folder: Path, machine_id_paths: tuple[Path, ...] = MACHINE_ID_PATHS) -> str:
    """Return the hashed machine id, or an id that is made once and kept in `folder`."""
    for path in machine_id_paths:
        if machine_id := _text(path):
            return shown_identity(machine_id)
    kept = folder / "identity"
    if identity := _text(kept):
        return identity
    folder.mkdir(parents=True, exist_ok=True)
    identity = uuid.uuid4().hex
    kept.write_text(identity)
    return identity


def agent_identity(folder: Path) -> str:
    """Return the identity of the agent that uses a folder: several on one machine are several to a service."""
    return hashlib.sha256(
        f"loopfront agent {machine_identity(folder)} {folder.resolve()}".encode()
    ).hexdigest()[:32]


def shown_identity(machine_id: str) -> str:
    """Return the identity that stands for a machine id; man 5 machine-id asks for it to be hashed before it leaves."""
    return hashlib.sha256(f"loopfront {machine_id}".encode()).hexdigest()[:32]


def phone_identity(
    properties: Mapping[str, str], transport: str, ask_android_id: Callable[[], str | None]
) -> str:
    """Return the identity of a phone from its own serial number, so that it is one device on USB and on Wi-Fi.

    `properties` are those of getprop. Emulators and the cheapest phones share placeholders: there Android's id, drawn
    at random when the phone was set up, is added. `transport`, what `adb devices` shows, is the last resort.
    """
    serial = own_serial(properties)
    if _PLACEHOLDER.fullmatch(serial):
        android_id = ask_android_id()
        serial = f"{serial} {android_id}" if android_id else transport
    return shown_identity(f"phone {serial}")


def own_serial(properties: Mapping[str, str]) -> str:
    """Return the serial number that a phone tells of itself, or nothing."""
    return properties.get("ro.serialno") or properties.get("ro.boot.serialno") or ""


def _text(path: Path) -> str:
    """Return a file's text; images of containers often hold an empty or `uninitialized` machine id."""
    try:
        text = path.read_text().strip()
    except OSError:
        return ""
    return "" if text == "uninitialized" else text
