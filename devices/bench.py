"""A device made ready for measuring: its connection, and the runner and runtime that lie on it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devices.connection import Connection
from devices.device_facts import DeviceFacts, read_facts
from devices.device_folder import DeviceFolder
from devices.local import LocalConnection
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
