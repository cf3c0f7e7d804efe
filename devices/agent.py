"""The agent: register this machine, lease jobs, measure them and report, for as long as it is wanted."""

import argparse
import fcntl
import logging
import math
import os
import platform
import re
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from devices.bench import Bench, local_bench
from devices.errors import (
    BlobDamaged,
    DeviceError,
    LeaseSuperseded,
    MeasurementStopped,
    PlanError,
    QuietLockUnusable,
    ServiceAway,
    ServiceRefused,
)
from devices.identity import machine_identity
from devices.measuring import measure
from devices.outcome import NotReady, Outcome, RunnerFault, outcome_to_dict
from devices.plan import MeasurementPlan, from_dict
from devices.quiet import open_quiet_lock, quiet_host
from devices.readiness import Thresholds
from devices.service_link import DeviceRegistration, Lease, Receipt, Registered, ServiceLink
from devices.spool import Spool, SpooledOutcome

log = logging.getLogger("loopfront.agent")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0

# A graph that arrives damaged so often is damaged where it lies.
_FETCHES = 3

# Short enough to stop soon when asked; a lease request must not be abandoned, for a lease may be on its way.
_LEASE_WAIT_S = 2.0


@dataclass(frozen=True)
class AgentSettings:
    """Where the service is, and how this agent behaves.

    `folder` holds the spool, the runner and the weight pools; one agent at a time may use it.
    """

    server: str
    folder: Path
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=Thresholds)
    quiet_lock: Path | None = None
    exit_with_parent: bool = False


def run_agent(settings: AgentSettings, stop: threading.Event | None = None) -> None:
    """Work until `stop` is set: deliver the spool ▸ register ▸ lease ▸ measure ▸ spool ▸ report.

    A service that is away is waited for. Raises DeviceError, before anything else, if the runner cannot
    be built, the runtime is missing, the quiet lock can't be opened or another agent uses the folder.
    """
    stop = stop or threading.Event()
    settings.folder.mkdir(parents=True, exist_ok=True)
    with (settings.folder / "agent.lock").open("a") as lock:
        _claim(lock.fileno(), settings.folder)
        open_quiet_lock(settings.quiet_lock).close()
        bench = local_bench(settings.folder, settings.thresholds)
        if settings.exit_with_parent:
            _stop_with_parent(stop)
        with ServiceLink(settings.server) as link:
            _Agent(settings, bench, link, stop).work()


class _Agent:
    def __init__(
        self, settings: AgentSettings, bench: Bench, link: ServiceLink, stop: threading.Event
    ) -> None:
        self._settings = settings
        self._bench = bench
        self._link = link
        self._stop = stop
        self._spool = Spool(settings.folder / "spool")
        self._registered: Registered | None = None
        self._measured = 0

    def work(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                self._step()
                pause_s = _FIRST_PAUSE_S
            except ServiceAway as away:
                log.warning(
                    "the service is away or can't store anything, next try in %.1f s: %s", pause_s, away
                )
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            except ServiceRefused as refusal:
                # A new database does not know us, so registering again may mend it; a wrong version will not.
                log.error("the service refuses, next try in %.1f s: %s", pause_s, refusal)
                self._registered = None
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _step(self) -> None:
        self._deliver()
        registered = self._registered or self._register()
        lease = self._link.lease(registered.agent_id, list(registered.device_ids.values()), _LEASE_WAIT_S)
        if lease is not None:
            self._serve(lease)

    def _deliver(self) -> None:
        """Hand in every finished outcome before asking for new work."""
        for spooled in self._spool.waiting():
            try:
                receipt = self._link.report(spooled.job_id, spooled.token, spooled.outcome)
            except ServiceRefused as refusal:
                log.error("job %s: the result is refused and set aside: %s", spooled.job_id, refusal)
                self._spool.set_aside(spooled.path)
                continue
            self._acknowledge(spooled, receipt)

    def _acknowledge(self, spooled: SpooledOutcome, receipt: Receipt) -> None:
        self._spool.acknowledge(spooled)
        log.info("job %s: %s, %s", spooled.job_id, spooled.outcome.get("kind"), receipt.value)

    def _register(self) -> Registered:
        identity = machine_identity(self._settings.folder)
        name = self._settings.name or _plain_name(platform.node())
        device = DeviceRegistration(identity, name, "local", self._settings.labels, self._bench.description())
        self._registered = self._link.register(name, identity, [device])
        log.info("registered as %s at %s", name, self._settings.server)
        return self._registered

    def _serve(self, lease: Lease) -> None:
        """Measure one job; a job that cannot be finished is given back."""
        log.info("job %s: leased with token %d", lease.job_id, lease.token)
        pulse = _Pulse(self._settings.server, lease, self._stop)
        try:
            with pulse:
                outcome = self._outcome_of(lease, pulse.give_up)
        except MeasurementStopped:
            self._give_back(lease, pulse)
            return
        except (ServiceRefused, BlobDamaged) as trouble:
            outcome = RunnerFault(f"the service does not hand out the graph: {trouble}", "")
        except QuietLockUnusable as trouble:
            outcome = NotReady(str(trouble), "")
        self._measured += 1
        self._hand_in(lease, outcome_to_dict(outcome))

    def _hand_in(self, lease: Lease, outcome: Mapping[str, Any]) -> None:
        self._spool.put(lease.job_id, lease.token, outcome)
        self._deliver()

    def _outcome_of(self, lease: Lease, give_up: threading.Event) -> Outcome:
        try:
            plan = from_dict(lease.plan)
        except PlanError as error:
            return RunnerFault(f"this agent cannot read the plan: {error}", "")
        graphs = self._fetch(plan, give_up)
        with quiet_host(self._settings.quiet_lock, give_up):
            return measure(plan, self._bench, graphs.__getitem__, give_up, self._measured)

    def _fetch(self, plan: MeasurementPlan, give_up: threading.Event) -> dict[str, bytes]:
        """Fetch the graphs before the host must be quiet."""
        wanted = {plan.candidate.graph_sha256, plan.sentinel.graph_sha256}
        return {sha256: self._fetch_graph(sha256, give_up) for sha256 in wanted}

    def _fetch_graph(self, sha256: str, give_up: threading.Event) -> bytes:
        """Wait for a service that is away; raise BlobDamaged if the graph arrives damaged again and again."""
        damaged = 0
        while not give_up.is_set():
            try:
                return self._link.blob(sha256)
            except ServiceAway as away:
                log.warning("job graphs: %s", away)
            except BlobDamaged as damage:
                damaged += 1
                log.warning("job graphs: %s", damage)
                if damaged == _FETCHES:
                    raise
            give_up.wait(_FIRST_PAUSE_S)
        raise MeasurementStopped("asked to stop before the graphs had arrived")

    def _give_back(self, lease: Lease, pulse: "_Pulse") -> None:
        if pulse.is_superseded:
            log.warning("job %s: given to someone else meanwhile, dropped", lease.job_id)
            return
        try:
            self._link.release(lease.job_id, lease.token, "the agent is stopping")
        except (ServiceAway, ServiceRefused) as error:
            log.warning("job %s: not given back, its lease will expire: %s", lease.job_id, error)


class _Pulse:
    """Keep a lease alive from a thread of its own; `give_up` is set when measuring on makes no sense."""

    def __init__(self, server: str, lease: Lease, stop: threading.Event) -> None:
        self.give_up = threading.Event()
        self.is_superseded = False
        self._server = server
        self._lease = lease
        self._stop = stop
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=run, daemon=True) for run in (self._beat, self._pass_on_stop)
        ]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()

    def _beat(self) -> None:
        with ServiceLink(self._server) as link:
            while not self._is_over.wait(self._lease.heartbeat_s):
                self._beat_once(link)

    def _beat_once(self, link: ServiceLink) -> None:
        try:
            link.heartbeat(self._lease.job_id, self._lease.token)
        except LeaseSuperseded:
            self.is_superseded = True
            self.give_up.set()
        except (ServiceAway, ServiceRefused) as error:
            # Measuring goes on: the result counts unless someone else got a newer token.
            log.warning("job %s: no heartbeat: %s", self._lease.job_id, error)

    def _pass_on_stop(self) -> None:
        while not self._is_over.is_set():
            if self._stop.wait(0.1):
                self.give_up.set()
                return


def _claim(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DeviceError(
            f"another agent is using {folder}; stop it, or give this one another --folder"
        ) from None


def _stop_with_parent(stop: threading.Event) -> None:
    """Stop as soon as the process that started us is gone."""
    parent = os.getppid()

    def watch() -> None:
        while not stop.wait(0.5):
            if os.getppid() != parent:
                stop.set()

    threading.Thread(target=watch, daemon=True).start()


def _plain_name(name: str) -> str:
    """Reduce a host name to letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip(".-")[:100] or "this-machine"


def _setting(name: str, default: float) -> float:
    """Return a setting from the environment, such as LOOPFRONT_AGENT_IDLE_CORES."""
    variable = f"LOOPFRONT_AGENT_{name}"
    given = os.environ.get(variable, str(default))
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DeviceError(f"{variable}: {given!r} is no number; unset it, or give one such as {default:g}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent from the command line."""
    try:
        _run_as_told(arguments)
    except DeviceError as error:
        print(f"agent: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _run_as_told(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(prog="python -m devices.agent", description="Measure on this machine.")
    parser.add_argument(
        "--server", required=True, help="address of the service, such as http://127.0.0.1:8321"
    )
    parser.add_argument(
        "--folder", required=True, type=Path, help="folder for runner, weight pools and spool"
    )
    parser.add_argument("--name", default="", help="name of this machine; its host name by default")
    parser.add_argument(
        "--idle-cores",
        type=float,
        default=_setting("IDLE_CORES", Thresholds.idle_cores),
        help="measure only while other programs leave so many cores per thread; 0 ignores load",
    )
    parser.add_argument(
        "--patience-s",
        type=float,
        default=_setting("PATIENCE_S", Thresholds.patience_s),
        help="how long to wait for a device that is hot or busy",
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when the starting process ends")
    given = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    thresholds = Thresholds(idle_cores=given.idle_cores, patience_s=given.patience_s)
    settings = AgentSettings(
        given.server, given.folder, given.name, thresholds=thresholds, exit_with_parent=given.exit_with_parent
    )
    run_agent(settings, stop)


if __name__ == "__main__":
    raise SystemExit(main())
