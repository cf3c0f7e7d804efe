"""Serves one device of an agent: open ▸ lease ▸ measure ▸ spool ▸ report, for as long as it is wanted.

Several jobs are under way at a time, and their processes take turns: what disturbs the device for a minute then moves a
process or two of each candidate, and not all processes of one.
"""

import contextlib
import json
import logging
import secrets
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
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
    MeasurementStopped,
    PlanError,
    QuietLockUnusable,
    ServiceAway,
    ServiceRefused,
)
from devices.graphs import Graphs
from devices.measuring import measure_in_steps
from devices.membership import Membership
from devices.outcome import DeviceLost, NotReady, Outcome, RunnerFault, outcome_to_dict
from devices.owner_rules import OwnersGate
from devices.service_link import (
    LEASES_PER_DEVICE,
    DeviceRegistration,
    Lease,
    ServiceLink,
    Stand,
    StationReport,
)
from devices.station import OpenStation, Station
from devices.station_board import StationBoard
from devices.steps import Steps
from devices.turns import Turns
from devices.under_way import Pulse, UnderWay
from devices.untrusted_text import visible_log

log = logging.getLogger("loopfront.agent")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0

# Short enough to stop soon when asked; a lease request must not be abandoned, for a lease may be on its way.
_LEASE_WAIT_S = 2.0

_ALIVE_S = 15.0
"""An idle device is asked this often whether it is still there."""
_ECHO = Limits(deadline_s=10.0, silence_s=10.0)

_LOOK_S, _LONGEST_LOOK_S = 1.0, 8.0
"""While something is under way, more work is looked for so often; ever more seldom while there is none."""

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
        self._gate, self._graphs = OwnersGate(station.rules), Graphs()
        self._under_way: deque[UnderWay] = deque()
        self._begun = 0
        self._heard_s = self._look_at_s = 0.0
        self._look_pause_s = _LOOK_S / 2

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
            self._close("the agent is stopping")
            with contextlib.suppress(ServiceAway, ServiceRefused, AgentUnwelcome):
                self._delivery.deliver(link)

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
        except Exception as error:  # a fault of ours must not leave the device unserved
            log.exception("%s: the agent stumbled; please report it", self._station.name)
            self._close()
            self._tell(Stand.UNOPENED, _in_words(error))
            return _in_words(error)
        return None

    def _step(self, link: ServiceLink) -> None:
        if self._opened is not None and not self._opened.is_there():
            self._close()
        opened = self._opened = self._opened or self._station.open()
        if not self._under_way or time.monotonic() >= self._look_at_s:
            try:
                has_found_some = self._look_for_work(link, opened)
            except (ServiceAway, ServiceRefused, AgentUnwelcome):
                if not self._under_way:
                    raise
                has_found_some = False  # what is under way goes on meanwhile
            self._look_pause_s = _LOOK_S if has_found_some else min(2 * self._look_pause_s, _LONGEST_LOOK_S)
            self._look_at_s = 0.0 if has_found_some else time.monotonic() + self._look_pause_s
        if self._under_way:
            self._go_on()
            self._heard_s = time.monotonic()

    def _look_for_work(self, link: ServiceLink, opened: OpenStation) -> bool:
        """Deliver what is done, and take a job where there is room for one; tell whether one was taken."""
        self._delivery.deliver(link)
        if not self._under_way:
            self._require_alive(opened)
        agent_id, device_id = self._membership.ids_of(self._registration(opened))
        # Before a lease: a job that is taken must not wait for the owner's hours. What is under way is finished.
        resting = self._gate.reason_to_rest(lambda: read_conditions(opened.bench.connection))
        if resting and not self._under_way:
            self._tell(Stand.RESTING, resting, opened.identity)
            self._stop.wait(_REST_S)
            return False
        self._tell(Stand.READY, "", opened.identity)
        if resting or len(self._under_way) >= LEASES_PER_DEVICE:
            return False
        held = [each.lease for each in self._under_way if not each.is_given_up]
        lease = link.lease(agent_id, [device_id], 0.0 if self._under_way else _LEASE_WAIT_S, held)
        if lease is None:
            return False
        if not opened.is_there():  # it went while a job was waited for
            link.release(lease.job_id, lease.token, "the device went away")
            self._close()
            return False
        self._begin(lease, opened, link)
        return True

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

    def _close(self, reason: str = "the device went away") -> None:
        """Let go of the device; what was under way there is given back."""
        while self._under_way:
            self._under_way.popleft().give_back(reason)
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def _begin(self, lease: Lease, opened: OpenStation, link: ServiceLink) -> None:
        log.info("job %s: leased with token %d", lease.job_id, lease.token)
        pulse = Pulse(self._make_link, lease, self._stop)
        steps = self._steps_of(lease, opened, link, pulse.give_up)
        self._under_way.append(UnderWay(lease, pulse, steps, link))

    def _go_on(self) -> None:
        """Do the next step of the job whose last one is the longest ago, or wait until one may go on."""
        now_s = time.monotonic()
        due = next((each for each in self._under_way if each.due_s <= now_s or each.is_given_up), None)
        if due is None:
            self._stop.wait(min(_LOOK_S, min(each.due_s for each in self._under_way) - now_s))
            return
        self._under_way.remove(due)
        try:
            outcome = due.step()
        except MeasurementStopped:
            due.give_back("the agent is stopping")
            return
        except Exception as error:  # a fault of ours: told with its place, and tried again
            log.exception("job %s: the agent stumbled; please report it", due.lease.job_id)
            outcome = RunnerFault(_in_words(error), traceback.format_exc())
        if outcome is None:
            self._under_way.append(due)
            return
        due.end()
        self._look_at_s = 0.0
        self._delivery.put(due.lease.job_id, due.lease.token, _sendable(outcome))
        if isinstance(outcome, DeviceLost):
            self._close()  # the next step opens it again before it asks for work

    def _steps_of(
        self, lease: Lease, opened: OpenStation, link: ServiceLink, give_up: threading.Event
    ) -> Steps[Outcome]:
        try:
            plan = job_plan_from_dict(lease.plan)
        except PlanError as error:
            return RunnerFault(f"this agent cannot read the plan: {error}", "", of_device=False)
        self._begun += 1
        try:
            if isinstance(plan, BandwidthPlan):
                with self._turns.turn(opened.machine, give_up):
                    return measure_bandwidth(plan, opened.bench, give_up, self._begun - 1)
            graphs = yield from self._graphs.of(plan, link, give_up)  # before the machine must be quiet
            steps = measure_in_steps(plan, opened.bench, graphs.__getitem__, give_up, self._begun - 1)
            return (yield from self._turns.each_in_turn(steps, opened.machine, give_up))
        except (ServiceRefused, BlobDamaged) as trouble:
            return RunnerFault(f"the service does not hand out the graph: {trouble}", "", of_device=False)
        except QuietLockUnusable as trouble:
            return NotReady(str(trouble), "")


def _sendable(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome; one that holds what no JSON holds, as a hostile device may send, becomes a fault."""
    told = outcome_to_dict(outcome)
    try:
        json.dumps(told, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        log = visible_log(f"{getattr(outcome, 'reason', '')}\n{outcome.log}")
        return outcome_to_dict(RunnerFault(f"what the device sent can't be passed on: {error}", log))
    return told


def _in_words(error: Exception) -> str:
    return f"the agent stumbled, its log tells where: {type(error).__name__}: {error}"
