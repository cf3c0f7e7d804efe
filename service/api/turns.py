"""Few threads do what agents ask for all day: more would wait for each other and the interpreter's lock."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread

THREADS_OF_EACH = 3

Given = TypeVarTuple("Given")
Answer = TypeVar("Answer")


class Turns:
    """Who comes waits for its turn, first come, first served; each kind of work has its own line."""

    def __init__(self) -> None:
        self._lines: dict[Callable[..., Any], CapacityLimiter] = defaultdict(
            lambda: CapacityLimiter(THREADS_OF_EACH)
        )

    async def run(self, work: Callable[[*Given], Answer], *given: *Given) -> Answer:
        """Do something in a thread once it is its turn."""
        return await to_thread.run_sync(work, *given, limiter=self._lines[work])
