"""A bell that is rung when state changed, so that those who wait look again."""

import threading
from collections.abc import Callable


class Bell:
    """Counts rings; a waiter says which ring it has seen."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0
        self._pass_on: Callable[[], None] | None = None

    @property
    def rings(self) -> int:
        """How often it was rung so far."""
        return self._rings

    def ring(self) -> None:
        """Wake everyone who waits, in other processes too."""
        self.ring_here()
        if self._pass_on is not None:
            self._pass_on()

    def ring_here(self) -> None:
        """Wake everyone who waits in this process."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def passes_on(self, pass_on: Callable[[], None] | None) -> None:
        """Say what tells other processes of a ring; None where there are none."""
        self._pass_on = pass_on

    def wait_beyond(self, seen: int, timeout_s: float) -> int:
        """Wait until it was rung more than `seen` times, or `timeout_s` passed; return the rings."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings > seen, timeout_s)
            return self._rings
