"""Loads that disturb a measurement: small processes of our own that end with it."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event

COPIED_BYTES = 32 << 20
"""Larger than most caches' share of a core, so that copies go through memory."""
LONGEST_S = 600.0


def copy_memory(is_over: Event) -> None:
    """Copy a buffer to another, without a pause."""
    source, target = memoryview(bytearray(COPIED_BYTES)), memoryview(bytearray(COPIED_BYTES))

    def copy() -> None:
        target[:] = source

    _until(is_over, copy)


def busy_core(is_over: Event) -> None:
    """Keep one core busy with sums that need no memory."""
    _until(is_over, lambda: sum(range(10_000)))


LOADS: dict[str, Callable[[Event], None]] = {"memory copies": copy_memory, "busy second core": busy_core}


@contextmanager
def disturbed(load: Callable[[Event], None]) -> Iterator[None]:
    """Run a load in a process of its own; it ends with the block, with its parent, or after ten minutes."""
    context = multiprocessing.get_context("spawn")
    is_over = context.Event()
    process = context.Process(target=load, args=(is_over,), daemon=True)
    process.start()
    time.sleep(1.0)  # Python starts, and the device shows the load
    try:
        yield
    finally:
        is_over.set()
        process.join(5)
        process.kill()
        process.join()


def _until(is_over: Event, work: Callable[[], object]) -> None:
    parent, started_s = os.getppid(), time.monotonic()
    while not is_over.is_set() and os.getppid() == parent and time.monotonic() - started_s < LONGEST_S:
        work()
