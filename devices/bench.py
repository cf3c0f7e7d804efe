"""A device made ready for measuring: its connection, and the runner and runtime that lie on it."""

import platform
import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devices.connection import Connection
from devices.device_facts import DeviceFacts, read_facts
from devices.device_files import ask
from devices.device_folder import DeviceFolder
from devices.errors import BuildError, ConnectionFault
from devices.local import LocalConnection
from devices.provision import provision_library, provision_runner
from devices.readiness import Thresholds
from devices.runner.build import BuiltRunner, build_runner
from devices.runtime_library import RuntimeLibrary, installed_runtime


@dataclass(frozen=True)
class Bench:
    """Everything that measuring on one device needs; paths are the device's own.

    The runner beats every 2 s; after `silence_s` without a line it counts as stuck.
    """

    connection: Connection
    folder: DeviceFolder
    runner: BuiltRunner
    library: RuntimeLibrary
    facts: DeviceFacts
    thresholds: Thresholds = field(default_factory=Thresholds)
    silence_s: float = 10.0

    @property
    def runner_command(self) -> tuple[str, ...]:
        """The words that start the runner; the path of its plan follows them."""
        return (str(self.runner.path),)

    def description(self) -> dict[str, Any]:
        """Return the device's facts, with the runtime and the runner that its numbers depend on."""
        runtime = f"{self.library.name} {self.library.version} {self.library.sha256[:12]}"
        return {**self.facts.to_dict(), "runtime": runtime, "runner": self.runner.sha256[:12]}


def local_bench(folder: Path, thresholds: Thresholds | None = None) -> Bench:
    """Make this machine ready; raises BuildError or RuntimeLibraryError if something must be installed."""
    connection = LocalConnection()
    return Bench(
        connection=connection,
        folder=DeviceFolder(connection, str(folder / "device")),
        runner=build_runner(folder / "runner"),
        library=installed_runtime(),
        facts=read_facts(connection),
        thresholds=thresholds or Thresholds(),
    )


def remote_bench(
    connection: Connection, cache: Path, thresholds: Thresholds | None = None, root: str | None = None
) -> Bench:
    """Make a Linux machine of this one's architecture ready, at the other end of a connection.

    What it needs goes to the folder `root` there, or `.cache/loopfront` in its user's home. Raises ConnectionFault if
    it can't be reached or written, BuildError if there is no runner for it, RuntimeLibraryError if this machine has no
    runtime to push.
    """
    facts, home = read_facts(connection), ask(connection, "printenv", "HOME")
    machine = facts.values["architecture"]
    if machine is None or (home is None and root is None):
        raise ConnectionFault("the machine does not answer uname -m and printenv HOME: is it Linux?")
    if machine != platform.machine():
        raise BuildError(
            f"the machine is {machine}, this one {platform.machine()}: no runtime for it is here yet"
        )
    root = root or posixpath.join(str(home), ".cache", "loopfront")
    return Bench(
        connection=connection,
        folder=DeviceFolder(connection, root),
        runner=provision_runner(connection, root, build_runner(cache / "runner")),
        library=provision_library(connection, root, installed_runtime()),
        facts=facts,
        thresholds=thresholds or Thresholds(),
    )
