"""One leased job while it is measured step by step: its lease is kept alive, and it can be given back."""

import logging
import threading
import time
from collections.abc import Callable

from devices.errors import AgentUnwelcome, LeaseSuperseded, MeasurementStopped, ServiceAway, ServiceRefused
from devices.outcome import Outcome
from devices.service_link import Lease, ServiceLink
from devices.steps import Steps

log = logging.getLogger("loopfront.agent")


class UnderWay:
    """A job under lease; `due_s` is when its next step may be done, on the monotonic clock."""

    def __init__(self, lease: Lease, pulse: "Pulse", steps: Steps[Outcome], link: ServiceLink) -> None:
        self.lease = lease
        self.due_s = time.monotonic()
        self._pulse, self._steps, self._link = pulse, steps, link

    @property
    def is_given_up(self) -> bool:
        """Tell whether measuring on makes no sense any more."""
        return self._pulse.give_up.is_set()

    def step(self) -> Outcome | None:
        """Do the next step; return the outcome after the last one, and raise what a step raises."""
        if self.is_given_up:
            raise MeasurementStopped("given up between two of its steps")
        try:
            self.due_s = time.monotonic() + next(self._steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        return None

    def end(self) -> None:
        """Stop keeping the lease alive."""
        self._pulse.end()

    def give_back(self, reason: str) -> None:
        """Leave the job unmeasured, for someone else or for later."""
        self.end()
        self._steps.close()
        if self._pulse.is_over_for:
            log.warning("job %s: dropped: %s", self.lease.job_id, self._pulse.is_over_for)
            return
        try:
            self._link.release(self.lease.job_id, self.lease.token, reason)
        except (ServiceAway, ServiceRefused, AgentUnwelcome) as error:
            log.warning("job %s: not given back, its lease will expire: %s", self.lease.job_id, error)


class Pulse:
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
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let the lease go."""
        self._is_over.set()

    def _beat(self) -> None:
        if self._is_over.wait(self._lease.heartbeat_s):
            return
        with self._make_link() as link:  # only now: making one costs as much as starting a runner
            self._beat_once(link)
            while not self._is_over.wait(self._lease.heartbeat_s):
                self._beat_once(link)

    def _beat_once(self, link: ServiceLink) -> None:
        try:
            link.heartbeat(self._lease.job_id, self._lease.token)
        except LeaseSuperseded as end:
            self.is_over_for = str(end) if end.is_paused else f"given to someone else meanwhile: {end}"
            self.give_up.set()
        except Exception as error:  # whatever it is, the next beat may go well
            # Measuring goes on: the result counts unless someone else got a newer token.
            log.warning("job %s: no heartbeat: %s", self._lease.job_id, error)

    def _pass_on_stop(self) -> None:
        while not self._is_over.is_set():
            if self._stop.wait(0.1):
                self.give_up.set()
                return
