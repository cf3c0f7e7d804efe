"""Work that is done step by step, so that others may have the device between two steps."""

import threading
from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")

Steps = Generator[float, None, Result]
"""Each step yields the seconds to wait before the next one; the last returns the result."""


def in_one_go(steps: Steps[Result], stop: threading.Event) -> Result:
    """Do all steps, with nothing between them."""
    while True:
        try:
            pause_s = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        stop.wait(pause_s)
