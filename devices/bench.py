"""A device made ready for measuring: its connection, and the runner and runtime that lie on it."""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devices.connection import Connection
from devices.device_facts import DeviceFacts, read_facts
from devices.device_folder import DeviceFolder
from devices.errors import ConnectionFault, PlatformUnsupported, SupplyError
from devices.glibc_folder import GlibcFolder
from devices.lab_profile import put_governors_back
from devices.local import LocalConnection
from devices.platforms import Machine, ask_machine, platform_of
from devices.provision import provision_glibc, provision_library, provision_runner
from devices.readiness import Thresholds
from devices.runner.build import BuiltRunner, build_runner, build_runner_for
from devices.runner_trial import trouble_of_the_library
from devices.runtime_library import RuntimeLibrary, installed_runtime
from devices.supplies.store import Supplies

ANDROID_FOLDER = "/data/local/tmp/loopfront"
"""Where the shell of a phone may write and start programs; its home is / and is not its own."""


@dataclass(frozen=True)
class Bench:
    """Everything that measuring on one device needs; paths are the device's own.

    `glibc` is there where the device has no C library that would do. The runner beats every 2 s; after `silence_s`
    without a line it counts as stuck.
    """

    connection: Connection
    folder: DeviceFolder
    runner: BuiltRunner
    library: RuntimeLibrary
    facts: DeviceFacts
    thresholds: Thresholds = field(default_factory=Thresholds)
    silence_s: float = 10.0
    glibc: GlibcFolder | None = None

    @property
    def runner_command(self) -> tuple[str, ...]:
        """The words that start the runner; the path of its plan follows them."""
        loader = self.glibc.command if self.glibc else ()
        return (*loader, str(self.runner.path))

    def description(self) -> dict[str, Any]:
        """Return the device's facts, with the runtime and the runner that its numbers depend on."""
        runtime = f"{self.library.name} {self.library.version} {self.library.sha256[:12]}"
        if self.glibc:
            runtime += f" on glibc {self.glibc.version} {self.glibc.sha256[:12]}"
        return {**self.facts.to_dict(), "runtime": runtime, "runner": self.runner.sha256[:12]}


def local_bench(folder: Path, thresholds: Thresholds | None = None) -> Bench:
    """Make this machine ready; raises BuildError or RuntimeLibraryError if something must be installed."""
    connection = LocalConnection()
    place = DeviceFolder(connection, str(folder / "device"))
    put_governors_back(connection, place.governors_path)
    return Bench(
        connection=connection,
        folder=place,
        runner=build_runner(folder / "runner"),
        library=installed_runtime(),
        facts=read_facts(connection),
        thresholds=thresholds or Thresholds(),
    )


def remote_bench(
    connection: Connection,
    cache: Path,
    thresholds: Thresholds | None = None,
    root: str | None = None,
    supplies: Supplies | None = None,
) -> Bench:
    """Make the device at the other end of a connection ready: Linux, Android or macOS.

    What it needs goes to the folder `root` there, or to the usual one; what is built and fetched for it is kept in
    `cache`. Raises PlatformUnsupported if nothing exists for it or nothing starts there, BuildError if its runner can't
    be built here, SupplyError if its runtime can't be fetched, ConnectionFault if it can't be reached or written.
    """
    machine = ask_machine(connection)
    platform = platform_of(machine)
    root = root or _usual_root(machine)
    supplies = supplies or Supplies(cache / "supplies")
    library = provision_library(connection, root, supplies.library(platform.name))
    complaints: list[str] = []
    for glibc in _c_libraries(machine, supplies, complaints):
        runner = build_runner_for(platform, glibc.numbers if glibc else machine.glibc, cache / "runner")
        bench = Bench(
            connection=connection,
            folder=DeviceFolder(connection, root),
            runner=provision_runner(connection, root, runner),
            library=library,
            facts=read_facts(connection),
            thresholds=thresholds or Thresholds(),
            glibc=provision_glibc(connection, root, glibc) if glibc else None,
        )
        trouble = trouble_of_the_library(connection, root, bench.runner_command, library.path)
        if not trouble:
            put_governors_back(connection, bench.folder.governors_path)
            return bench
        complaints.append(f"with {'the glibc pushed there' if glibc else 'its own C library'}: {trouble}")
    raise PlatformUnsupported(f"ONNX Runtime does not start on {machine}: {'; '.join(complaints)}")


def _c_libraries(
    machine: Machine, supplies: Supplies, complaints: Sequence[str]
) -> Iterator[GlibcFolder | None]:
    """Yield the C libraries to try in turn: the device's own is None, and comes first where it is new enough."""
    if machine.system != "Linux" or machine.has_fitting_glibc:
        yield None
    if machine.system != "Linux":
        return
    try:
        yield supplies.glibc(str(machine.architecture))
    except SupplyError as error:
        if not complaints:
            raise
        raise SupplyError(f"{'; '.join(complaints)}; and another C library: {error}") from error


def _usual_root(machine: Machine) -> str:
    if machine.android and machine.home in (None, "/"):
        return ANDROID_FOLDER
    if machine.home is None:
        raise ConnectionFault("the device does not tell its HOME: say which of its folders may be used")
    return posixpath.join(machine.home, ".cache", "loopfront")
