"""A real agent process whose one device is this machine with a runner that is simulated, and fast."""

import argparse
import hashlib
import signal
import threading
from pathlib import Path

from devices import measuring
from devices.bench import Bench
from devices.device_facts import DeviceFacts
from devices.device_folder import DeviceFolder
from devices.local import LocalConnection
from devices.readiness import Thresholds
from devices.runner.build import BuiltRunner
from devices.runtime_library import RuntimeLibrary
from devices.station import OpenStation, Station
from tests.benchmarks.fleet.serving import serve_stations

NAME = "simulated-device"
RUNNER = Path(__file__).parents[1] / "benchmarks" / "fleet" / "simulated_runner.py"
LENIENT = Thresholds(
    temperature_c=200.0, idle_cores=-1000.0, battery_percent=0, spare_bytes=0, patience_s=0.0
)


def simulated_station(folder: Path) -> Station:
    """Return a device that is this machine, but for its runner."""

    def opened() -> OpenStation:
        connection = LocalConnection()
        bench = Bench(
            connection=connection,
            folder=DeviceFolder(connection, str(folder / "device")),
            runner=BuiltRunner(RUNNER, hashlib.sha256(RUNNER.read_bytes()).hexdigest(), "simulated"),
            library=RuntimeLibrary("simulated-runtime", "0", "/simulated-runtime.so", "0" * 64),
            facts=DeviceFacts({"simulated": True, "cores": 2, "processor": "simulated"}, {}),
            thresholds=LENIENT,
        )
        identity = hashlib.sha256(str(folder).encode()).hexdigest()[:32]
        return OpenStation(identity, identity, bench, lambda: None)

    return Station(NAME, "simulated", opened)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options, stop = parser.parse_args(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Nothing that runs there could answer with the candidate's logits.
    measuring._Measurement._check_output = lambda _self, _check: ()  # type: ignore[method-assign]
    stations = [simulated_station(options.folder)]
    serve_stations("simulated-agent", stations, options.server, options.token_file, options.folder, stop)


if __name__ == "__main__":
    main()
