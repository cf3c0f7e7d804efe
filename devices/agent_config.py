"""Reads and extends agent.toml: the machines an agent reaches over SSH, what phones are called, their owners' rules.

[own]                                 # the agent's own machine
allowed_hours = ["22:00-07:00"]       # these and other rules of `devices.owner_rules` fit every table

[[ssh]]
name = "desk"
host = "10.0.0.7"
user = "lab"
key = "~/.ssh/id_ed25519"
host_key = "ssh-ed25519 SHA256:..."   # what `ssh-keygen -lf` shows on the host; another key is refused
port = 22                             # this and what follows may be left out
folder = "/data/loopfront"            # where files go on the host, about 1 GB; else ~/.cache/loopfront
labels = {room = "lab"}

[[phone]]                             # only to name a phone: those that adb shows are served without
serial = "R5CT10ABCDE"                # as `adb devices` shows it on USB
name = "red phone"                    # this and what follows may be left out
folder = "/data/local/tmp/loopfront"
labels = {owner = "lab"}
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devices.device_name import WORDS, is_name
from devices.errors import ConfigUnusable, PlanError
from devices.owner_rules import OwnerRules, OwnerTable, rules_of
from devices.ssh import SshHost
from devices.strict_reading import read

_HOST_KEY = re.compile(r"[a-z0-9@.-]+ SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True)
class HostEntry:
    """One machine, with the name and the labels that its owner gives it."""

    name: str
    host: SshHost
    folder: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    rules: OwnerRules = field(default_factory=OwnerRules)


@dataclass(frozen=True)
class PhoneEntry:
    """What the owner of a phone calls it; `serial` is its own, or the one that `adb devices` shows."""

    serial: str
    name: str | None = None
    folder: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    rules: OwnerRules = field(default_factory=OwnerRules)


@dataclass(frozen=True)
class OwnEntry:
    """The agent's own machine: the labels and rules that its owner gives it."""

    labels: Mapping[str, str] = field(default_factory=dict)
    rules: OwnerRules = field(default_factory=OwnerRules)


@dataclass(frozen=True, kw_only=True)
class _SshTable(OwnerTable):
    name: str
    host: str
    user: str
    key: str
    host_key: str
    port: int = 22
    folder: str | None = None


@dataclass(frozen=True, kw_only=True)
class _PhoneTable(OwnerTable):
    serial: str
    name: str | None = None
    folder: str | None = None


@dataclass(frozen=True)
class _Document:
    own: OwnerTable = field(default_factory=OwnerTable)
    ssh: tuple[_SshTable, ...] = ()
    phone: tuple[_PhoneTable, ...] = ()


def read_own_entry(path: Path) -> OwnEntry:
    """Read what the file says of the agent's own machine; raises as `read_agent_config`."""
    own = _read_document(path).own
    return OwnEntry(own.labels, rules_of(f"{path}.own", own))


def read_agent_config(path: Path) -> tuple[HostEntry, ...]:
    """Read the SSH hosts; raises ConfigUnusable naming the place, the value and a way out."""
    document = _read_document(path)
    names = [table.name for table in document.ssh]
    return tuple(_entry(f"{path}.ssh[{i}]", table, names) for i, table in enumerate(document.ssh))


def read_phone_entries(path: Path) -> tuple[PhoneEntry, ...]:
    """Read what the phones are called; raises ConfigUnusable naming the place, the value and a way out."""
    document = _read_document(path)
    names = [*(each.name for each in document.ssh), *(each.name for each in document.phone)]
    serials = [each.serial for each in document.phone]
    return tuple(
        _phone(f"{path}.phone[{i}]", table, names, serials) for i, table in enumerate(document.phone)
    )


def _phone(place: str, table: _PhoneTable, names: list[str | None], serials: list[str]) -> PhoneEntry:
    if not table.serial or serials.count(table.serial) > 1:
        raise ConfigUnusable(
            f"{place}.serial = {table.serial!r}: give every phone one table, with its serial"
        )
    if table.name is not None:
        _require_name(f"{place}.name", table.name, names)
    _require_folder(f"{place}.folder", table.folder)
    return PhoneEntry(table.serial, table.name, table.folder, table.labels, rules_of(place, table))


def _read_document(path: Path) -> _Document:
    return _parsed(path, _text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigUnusable(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigUnusable(f"{path} is no TOML: {error}") from None


def _parsed(path: Path, text: str) -> _Document:
    try:
        return read(_Document, tomllib.loads(text), str(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigUnusable(f"{path} is no TOML: {error}") from None
    except PlanError as error:
        raise ConfigUnusable(str(error)) from None


def _entry(place: str, table: _SshTable, names: Sequence[str | None]) -> HostEntry:
    if not _HOST_KEY.fullmatch(table.host_key):
        way_out = 'write its kind and fingerprint, such as "ssh-ed25519 SHA256:..."'
        raise ConfigUnusable(f"{place}.host_key = {table.host_key!r}: {way_out}")
    if not 0 < table.port < 65536:
        raise ConfigUnusable(f"{place}.port = {table.port}: use 1 to 65535")
    _require_name(f"{place}.name", table.name, names)
    _require_folder(f"{place}.folder", table.folder)
    host = SshHost(table.host, table.user, Path(table.key).expanduser(), table.host_key, table.port)
    return HostEntry(table.name, host, table.folder, table.labels, rules_of(place, table))


def _require_name(place: str, name: str, names: Sequence[str | None]) -> None:
    if not is_name(name):
        raise ConfigUnusable(f"{place} = {name!r}: use {WORDS}")
    if names.count(name) > 1:
        raise ConfigUnusable(f"{place} = {name!r}: give every device a name of its own")


def _require_folder(place: str, folder: str | None) -> None:
    if folder is not None and not folder.startswith("/"):
        raise ConfigUnusable(f"{place} = {folder!r}: write the whole path, from / on")


def replace_host_key(path: Path, pinned: str, shown: str) -> None:
    """Pin another key in the place of `pinned`; all else in the file stays as it is."""
    text = _text(path)
    # Only a digest stands there: no other text of the file can be the same.
    replaced = text.replace(pinned, shown)
    if replaced == text:
        raise ConfigUnusable(f"{path} doesn't hold the key {pinned} as it is written here: edit it by hand")
    _write(path, replaced)


def require_addable(path: Path, entry: HostEntry) -> None:
    """Raise ConfigUnusable where the file could no longer be read if a machine were added to it."""
    _with(path, entry)


def add_entry(path: Path, entry: HostEntry) -> None:
    """Append a machine to the file, which is made, for its owner alone, where there is none."""
    _write(path, _with(path, entry))


def _with(path: Path, entry: HostEntry) -> str:
    """Give the file's text with a machine appended; raises ConfigUnusable where it could not be read again."""
    text = (_text(path) if path.exists() else "") + _table(entry)
    document = _parsed(path, text)
    names = [*(each.name for each in document.ssh), *(each.name for each in document.phone)]
    _entry("the new entry", document.ssh[-1], names)
    return text


def _table(entry: HostEntry) -> str:
    fields: dict[str, str | int] = {
        "name": entry.name,
        "host": entry.host.host,
        "user": entry.host.user,
        "key": str(entry.host.key_path),
        "host_key": entry.host.host_key,
        "port": entry.host.port,
    }
    if entry.folder is not None:
        fields["folder"] = entry.folder
    # A JSON string or number is one of TOML too, but for signs beyond 16 bits and one control.
    texts = {
        key: json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") for key, value in fields.items()
    }
    return "\n".join(["", "[[ssh]]", *(f"{key} = {text}" for key, text in texts.items()), ""])


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        raise ConfigUnusable(f"{path} can't be written: {error.strerror}") from None
