"""An agent whose devices are reached over real SSH and have a runner that is simulated; all else is the agent's own."""

import argparse
import hashlib
import signal
import threading
from pathlib import Path

from devices.agent_config import HostEntry, read_agent_config
from devices.bench import Bench
from devices.device_facts import DeviceFacts, read_facts
from devices.device_files import ask
from devices.device_folder import DeviceFolder
from devices.errors import ConnectionFault
from devices.identity import shown_identity
from devices.provision import provision_runner
from devices.readiness import Thresholds
from devices.runner.build import BuiltRunner
from devices.runtime_library import RuntimeLibrary
from devices.ssh import SshConnection
from devices.station import OpenStation, Station
from tests.benchmarks.fleet.serving import serve_stations

RUNNER = Path(__file__).with_name("simulated_runner.py")
RUNTIME = RuntimeLibrary("simulated-runtime", "0", "/simulated-runtime.so", "0" * 64)

# The devices share one machine, whose load says nothing of theirs.
LENIENT = Thresholds(temperature_c=200.0, idle_cores=-1000.0, battery_percent=0, spare_bytes=0)


def simulated_station(entry: HostEntry) -> Station:
    """Return a host of agent.toml with the simulated runner in the runner's place."""

    def open_simulated() -> OpenStation:
        connection = SshConnection(entry.host)
        try:
            return _opened(entry, connection)
        except BaseException:
            connection.close()
            raise

    return Station(entry.name, "simulated-ssh", open_simulated, entry.labels)


def _opened(entry: HostEntry, connection: SshConnection) -> OpenStation:
    machine_id = ask(connection, "cat", "/etc/machine-id")
    if machine_id is None or entry.folder is None:
        raise ConnectionFault(f"{entry.name} has no machine id or no folder")
    runner = BuiltRunner(RUNNER, hashlib.sha256(RUNNER.read_bytes()).hexdigest(), "simulated")
    facts = read_facts(connection)
    bench = Bench(
        connection=connection,
        folder=DeviceFolder(connection, entry.folder),
        runner=provision_runner(connection, entry.folder, runner),
        library=RUNTIME,
        facts=DeviceFacts({**facts.values, "simulated": True}, facts.reasons),
        thresholds=LENIENT,
    )
    identity = hashlib.sha256(f"{machine_id} {entry.name}".encode()).hexdigest()[:32]
    return OpenStation(identity, shown_identity(machine_id), bench, connection.close)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    options, stop = parser.parse_args(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stations = [simulated_station(entry) for entry in read_agent_config(options.config)]
    serve_stations("simulated-agent", stations, options.server, options.token_file, options.folder, stop)


if __name__ == "__main__":
    main()
