"""A stable identity for this machine that reveals nothing about it."""

import hashlib
import uuid
from pathlib import Path

MACHINE_ID_PATHS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


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


def shown_identity(machine_id: str) -> str:
    """Return the identity that stands for a machine id; man 5 machine-id asks for it to be hashed before it leaves."""
    return hashlib.sha256(f"loopfront {machine_id}".encode()).hexdigest()[:32]


def _text(path: Path) -> str:
    """Return a file's text; images of containers often hold an empty or `uninitialized` machine id."""
    try:
        text = path.read_text().strip()
    except OSError:
        return ""
    return "" if text == "uninitialized" else text
