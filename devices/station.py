"""A device that an agent has at hand: how it is presented, and how it is made ready to be measured."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devices.adb import AdbConnection, AdbServer
from devices.agent_config import HostEntry
from devices.bench import ANDROID_FOLDER, Bench, local_bench, remote_bench
from devices.device_files import ask
from devices.identity import machine_identity, shown_identity
from devices.owner_rules import OwnerRules
from devices.phones import Phone
from devices.readiness import Thresholds
from devices.ssh import SshConnection, SshHost
from devices.supplies.store import Supplies


def _always() -> bool:
    return True


@dataclass(frozen=True)
class OpenStation:
    """A device that is ready; `machine` tells whether two devices are ways to one machine and must take turns.

    `is_there` tells, without asking the device, whether it may still be there.
    """

    identity: str
    machine: str
    bench: Bench
    close: Callable[[], None]
    is_there: Callable[[], bool] = _always


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


def ssh_station(
    entry: HostEntry, folder: Path, thresholds: Thresholds, from_dir: Path | None = None
) -> Station:
    """Return a machine that is reached over SSH; `folder` keeps here what is built and fetched for it.

    With `from_dir`, what would be fetched is taken from that folder.
    """
    host, supplies = entry.host, Supplies(folder / "supplies", from_dir)

    def open_ssh() -> OpenStation:
        connection = SshConnection(host)
        try:
            bench = remote_bench(connection, folder, thresholds, entry.folder, supplies)
            machine = _machine_of(connection, host)
        except BaseException:
            connection.close()
            raise
        return OpenStation(_identity_of(machine, host, folder), machine, bench, connection.close)

    return Station(entry.name, "ssh", open_ssh, entry.labels, entry.rules)


def adb_station(
    phone: Phone, server: AdbServer, folder: Path, thresholds: Thresholds, from_dir: Path | None = None
) -> Station:
    """Return a phone, reached by whichever way adb shows at the time; `folder` and `from_dir` as for `ssh_station`."""
    supplies = Supplies(folder / "supplies", from_dir)

    def open_adb() -> OpenStation:
        transport = phone.transport()
        connection = AdbConnection(transport, server)
        # Android has none, a Linux board with adb does.
        machine_id = ask(connection, "cat", "/etc/machine-id")
        bench = remote_bench(connection, folder, thresholds, phone.folder or ANDROID_FOLDER, supplies)
        machine = shown_identity(machine_id) if machine_id else phone.identity
        return OpenStation(phone.identity, machine, bench, _nothing, lambda: transport in phone.transports())

    return Station(phone.name, "adb", open_adb, phone.labels, phone.rules)


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
