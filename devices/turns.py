"""Lets only one measurement at a time run on a machine, however many ways lead to it."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devices.errors import MeasurementStopped
from devices.quiet import quiet_host
from devices.steps import Result, Steps

_LOOK_S = 0.1


class Turns:
    """The turns of one agent's devices.

    On the agent's own machine other programs take part, by the host's lock file. On others only this agent's
    measurements do.
    """

    def __init__(self, own_machine: str, quiet_lock: Path | None) -> None:
        self._own_machine, self._quiet_lock = own_machine, quiet_lock
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def each_in_turn(self, steps: Steps[Result], machine: str, give_up: threading.Event) -> Steps[Result]:
        """Hold a machine for each of the steps, and let others have it in between."""
        try:
            while True:
                with self.turn(machine, give_up):
                    try:
                        pause_s = next(steps)
                    except StopIteration as end:
                        result: Result = end.value
                        return result
                yield pause_s
        finally:
            steps.close()

    @contextmanager
    def turn(self, machine: str, give_up: threading.Event) -> Iterator[None]:
        """Hold a machine; raises MeasurementStopped if `give_up` is set before it is this one's turn."""
        if machine == self._own_machine:
            with quiet_host(self._quiet_lock, give_up):
                yield
            return
        lock = self._locks[machine]
        while not lock.acquire(timeout=_LOOK_S):
            if give_up.is_set():
                raise MeasurementStopped("asked to stop while another measurement ran on the machine")
        try:
            yield
        finally:
            lock.release()
