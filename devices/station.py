"""A device that an agent has at hand: how it is presented, and how it is made ready to be measured."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devices.agent_config import HostEntry
from devices.bench import Bench, local_bench, remote_bench
from devices.device_files import ask
from devices.identity import machine_identity, shown_identity
from devices.owner_rules import OwnerRules
from devices.readiness import Thresholds
from devices.ssh import SshConnection, SshHost


@dataclass(frozen=True)
class OpenStation:
    """A device that is ready; `machine` tells whether two devices are ways to one machine and must take turns."""

    identity: str
    machine: str
    bench: Bench
    close: Callable[[], None]


@dataclass(frozen=True)
class Station:
    """A device as its owner named it.

    `open` makes it ready, at first and after it was lost; it raises DeviceError while that is impossible.
    """

    name: str
    kind: str
    open: Callable[[], OpenStation]
    labels: Mapping[str, str] = field(default_factory=dict)
    rules: OwnerRules = field(default_factory=OwnerRules)


def local_station(
    name: str,
    folder: Path,
    thresholds: Thresholds,
    labels: Mapping[str, str],
    rules: OwnerRules | None = None,
) -> Station:
    """Return this very machine, with its files in `folder`."""

    def open_local() -> OpenStation:
        identity = machine_identity(folder)
        return OpenStation(identity, identity, local_bench(folder, thresholds), _nothing)

    return Station(name, "local", open_local, labels, rules or OwnerRules())


def ssh_station(entry: HostEntry, folder: Path, thresholds: Thresholds) -> Station:
    """Return a machine that is reached over SSH; `folder` keeps here what is built for it."""
    host = entry.host

    def open_ssh() -> OpenStation:
        connection = SshConnection(host)
        try:
            bench = remote_bench(connection, folder, thresholds, entry.folder)
            machine = _machine_of(connection, host)
        except BaseException:
            connection.close()
            raise
        return OpenStation(_identity_of(machine, host, folder), machine, bench, connection.close)

    return Station(entry.name, "ssh", open_ssh, entry.labels, entry.rules)


def _machine_of(connection: SshConnection, host: SshHost) -> str:
    machine_id = ask(connection, "cat", "/etc/machine-id")
    return shown_identity(machine_id or host.host_key)


def _identity_of(machine: str, host: SshHost, folder: Path) -> str:
    """A machine is one device whoever reaches it; only the agent's own machine is another one over SSH."""
    if machine != machine_identity(folder):
        return machine
    return hashlib.sha256(f"{machine} {host.address}".encode()).hexdigest()[:32]


def _nothing() -> None:
    return
