"""Serves one device of an agent: open ▸ lease ▸ measure ▸ spool ▸ report, for as long as it is wanted."""

import logging
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from devices.bandwidth import measure_bandwidth
from devices.bandwidth_plan import BandwidthPlan, job_plan_from_dict
from devices.conditions import read_conditions
from devices.connection import Limits
from devices.delivery import Delivery
from devices.errors import (
    AgentUnwelcome,
    BlobDamaged,
    ConnectionFault,
    DeviceAway,
    DeviceError,
    HostKeyChanged,
    LeaseSuperseded,
    MeasurementStopped,
    PlanError,
    QuietLockUnusable,
    ServiceAway,
    ServiceRefused,
)
from devices.measuring import measure
from devices.membership import Membership
from devices.outcome import DeviceLost, NotReady, Outcome, RunnerFault, outcome_to_dict
from devices.owner_rules import OwnersGate
from devices.plan import MeasurementPlan
from devices.service_link import DeviceRegistration, Lease, ServiceLink, Stand, StationReport
from devices.station import OpenStation, Station
from devices.station_board import StationBoard
from devices.turns import Turns

log = logging.getLogger("loopfront.agent")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0

# A graph that arrives damaged so often is damaged where it lies.
_FETCHES = 3

# Short enough to stop soon when asked; a lease request must not be abandoned, for a lease may be on its way.
_LEASE_WAIT_S = 2.0

_ALIVE_S = 15.0
"""An idle device is asked this often whether it is still there."""
_ECHO = Limits(deadline_s=10.0, silence_s=10.0)

_REST_S = 3.0
"""How often a device that rests by its owner's rules is looked at again."""


@dataclass(frozen=True)
class Shared:
    """What all devices of one agent share."""

    make_link: Callable[[], ServiceLink]
    membership: Membership
    delivery: Delivery
    turns: Turns
    board: StationBoard
    stop: threading.Event


class Worker:
    """One device's worker; it runs in a thread of its own."""

    def __init__(self, station: Station, shared: Shared, opened: OpenStation | None = None) -> None:
        self._station, self._opened = station, opened
        self._make_link, self._stop = shared.make_link, shared.stop
        self._membership, self._delivery, self._turns = shared.membership, shared.delivery, shared.turns
        self._board = shared.board
        self._gate = OwnersGate(station.rules)
        self._measured = 0
        self._heard_s = 0.0

    def work(self) -> None:
        """Work until `stop` is set; whatever is away is waited for."""
        pause_s = _FIRST_PAUSE_S
        with self._make_link() as link:
            while not self._stop.is_set():
                try:
                    trouble = self._trouble_of_a_step(link)
                except DeviceAway as away:  # whoever watches for it has written it into the log
                    self._close()
                    self._tell(Stand.UNOPENED, str(away))
                    self._stop.wait(_FIRST_PAUSE_S)
                    continue
                if trouble is None:
                    pause_s = _FIRST_PAUSE_S
                    continue
                log.warning("%s: %s; next try in %.1f s", self._station.name, trouble, pause_s)
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._close()

    def _trouble_of_a_step(self, link: ServiceLink) -> str | None:
        """Do one step; return what stood in its way."""
        try:
            self._step(link)
        except ServiceAway as away:
            return f"the service is away or can't store anything: {away}"
        except AgentUnwelcome as refusal:
            return f"the service does not let this agent work: {refusal}"
        except ServiceRefused as refusal:
            # A new database does not know us, so registering again may mend it; a wrong version will not.
            self._membership.forget()
            return f"the service refuses: {refusal}"
        except DeviceAway:
            raise
        except DeviceError as trouble:
            self._close()
            is_key = isinstance(trouble, HostKeyChanged)
            self._tell(Stand.KEY_CHANGED if is_key else Stand.UNOPENED, str(trouble))
            return f"can't be made ready: {trouble}"
        except (
            Exception
        ) as error:  # a fault of ours must not leave a device unserved until the agent is restarted
            log.exception("%s: the agent stumbled; please report it", self._station.name)
            self._close()
            self._tell(Stand.UNOPENED, _in_words(error))
            return _in_words(error)
        return None

    def _step(self, link: ServiceLink) -> None:
        self._delivery.deliver(link)
        if self._opened is not None and not self._opened.is_there():
            self._close()
        opened = self._opened = self._opened or self._station.open()
        self._require_alive(opened)
        agent_id, device_id = self._membership.ids_of(self._registration(opened))
        # Before a lease: a job that is taken must not wait for the owner's hours. What is under way is finished.
        resting = self._gate.reason_to_rest(lambda: read_conditions(opened.bench.connection))
        self._tell(Stand.RESTING if resting else Stand.READY, resting, opened.identity)
        if resting:
            self._stop.wait(_REST_S)
            return
        lease = link.lease(agent_id, [device_id], _LEASE_WAIT_S)
        if lease is not None:
            self._serve(lease, opened, link)
            self._heard_s = time.monotonic()

    def _require_alive(self, opened: OpenStation) -> None:
        """Notice that an idle device went away before a job is taken for it; raises ConnectionFault."""
        now_s = time.monotonic()
        if self._station.kind == "local" or now_s - self._heard_s < _ALIVE_S:
            return
        mark = secrets.token_hex(8)  # a lost phone looks like a command that printed nothing and went well
        told = opened.bench.connection.run(["echo", mark], _ECHO, self._stop).lines
        if mark not in told and not self._stop.is_set():
            raise ConnectionFault("the device does not answer any more")
        self._heard_s = now_s

    def _tell(self, stand: Stand, words: str, identity: str | None = None) -> None:
        station = self._station
        self._board.tell(StationReport(station.name, station.kind, stand, words, identity))

    def _registration(self, opened: OpenStation) -> DeviceRegistration:
        station = self._station
        facts = opened.bench.description()
        return DeviceRegistration(opened.identity, station.name, station.kind, station.labels, facts)

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def _serve(self, lease: Lease, opened: OpenStation, link: ServiceLink) -> None:
        """Measure one job; a job that cannot be finished is given back."""
        log.info("job %s: leased with token %d", lease.job_id, lease.token)
        pulse = _Pulse(self._make_link, lease, self._stop)
        try:
            with pulse:
                outcome = self._outcome_of(lease, opened, link, pulse.give_up)
        except MeasurementStopped:
            _give_back(link, lease, pulse)
            return
        except (ServiceRefused, BlobDamaged) as trouble:
            outcome = RunnerFault(f"the service does not hand out the graph: {trouble}", "")
        except QuietLockUnusable as trouble:
            outcome = NotReady(str(trouble), "")
        except (
            Exception
        ) as error:  # a fault of ours: told with its place, and tried again like one of the runner's
            log.exception("job %s: the agent stumbled; please report it", lease.job_id)
            outcome = RunnerFault(_in_words(error), traceback.format_exc())
        self._measured += 1
        self._hand_in(lease, outcome_to_dict(outcome), link)
        if isinstance(outcome, DeviceLost):
            self._close()  # the next step opens it again before it asks for work

    def _hand_in(self, lease: Lease, outcome: Mapping[str, Any], link: ServiceLink) -> None:
        self._delivery.put(lease.job_id, lease.token, outcome)
        self._delivery.deliver(link)

    def _outcome_of(
        self, lease: Lease, opened: OpenStation, link: ServiceLink, give_up: threading.Event
    ) -> Outcome:
        try:
            plan = job_plan_from_dict(lease.plan)
        except PlanError as error:
            return RunnerFault(f"this agent cannot read the plan: {error}", "")
        if isinstance(plan, BandwidthPlan):
            with self._turns.turn(opened.machine, give_up):
                return measure_bandwidth(plan, opened.bench, give_up, self._measured)
        graphs = _fetch(link, plan, give_up)  # before the machine must be quiet
        with self._turns.turn(opened.machine, give_up):
            return measure(plan, opened.bench, graphs.__getitem__, give_up, self._measured)


def _in_words(error: Exception) -> str:
    return f"the agent stumbled, its log tells where: {type(error).__name__}: {error}"


def _fetch(link: ServiceLink, plan: MeasurementPlan, give_up: threading.Event) -> dict[str, bytes]:
    wanted = {plan.candidate.graph_sha256, plan.sentinel.graph_sha256}
    return {sha256: _fetch_graph(link, sha256, give_up) for sha256 in wanted}


def _fetch_graph(link: ServiceLink, sha256: str, give_up: threading.Event) -> bytes:
    """Wait for a service that is away; raise BlobDamaged if the graph arrives damaged again and again."""
    damaged = 0
    while not give_up.is_set():
        try:
            return link.blob(sha256)
        except (ServiceAway, AgentUnwelcome) as away:
            log.warning("job graphs: %s", away)
        except BlobDamaged as damage:
            damaged += 1
            log.warning("job graphs: %s", damage)
            if damaged == _FETCHES:
                raise
        give_up.wait(_FIRST_PAUSE_S)
    raise MeasurementStopped("asked to stop before the graphs had arrived")


def _give_back(link: ServiceLink, lease: Lease, pulse: "_Pulse") -> None:
    if pulse.is_over_for:
        log.warning("job %s: dropped: %s", lease.job_id, pulse.is_over_for)
        return
    try:
        link.release(lease.job_id, lease.token, "the agent is stopping")
    except (ServiceAway, ServiceRefused, AgentUnwelcome) as error:
        log.warning("job %s: not given back, its lease will expire: %s", lease.job_id, error)


class _Pulse:
    """Keep a lease alive from a thread of its own; `give_up` is set when measuring on makes no sense."""

    def __init__(self, make_link: Callable[[], ServiceLink], lease: Lease, stop: threading.Event) -> None:
        self.give_up = threading.Event()
        self.is_over_for = ""
        self._make_link = make_link
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
        with self._make_link() as link:
            while not self._is_over.wait(self._lease.heartbeat_s):
                self._beat_once(link)

    def _beat_once(self, link: ServiceLink) -> None:
        try:
            link.heartbeat(self._lease.job_id, self._lease.token)
        except LeaseSuperseded as end:
            self.is_over_for = str(end) if end.is_paused else f"given to someone else meanwhile: {end}"
            self.give_up.set()
        except (ServiceAway, ServiceRefused, AgentUnwelcome) as error:
            # Measuring goes on: the result counts unless someone else got a newer token.
            log.warning("job %s: no heartbeat: %s", self._lease.job_id, error)

    def _pass_on_stop(self) -> None:
        while not self._is_over.is_set():
            if self._stop.wait(0.1):
                self.give_up.set()
                return
