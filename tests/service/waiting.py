"""Wait in tests for what a thread of the service brings about."""

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Look again until it is so; an AssertionError when it never is."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
