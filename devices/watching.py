"""Watches a command that runs somewhere: what it has printed, and whether it has to be ended."""

import threading
import time

from devices.connection import CommandResult, Ending, Limits

# The longest honest run prints some hundred kilobytes.
MAXIMUM_OUTPUT_BYTES = 16_000_000
_FLOOD_SAMPLE_BYTES = 10_000
_OWN_PAUSE_S = 1.0
"""A look that took longer than this was held up on our side: what the command printed meanwhile is still unread."""

POLL_S = 0.1
"""How long a reader may wait for output before it looks again."""


class Watch:
    """Collect both streams of one command; whoever reads them looks at `reason_to_end` every POLL_S."""

    def __init__(self, limits: Limits, stop: threading.Event) -> None:
        self._limits = limits
        self._stop = stop
        self._started_s = self._heard_s = self._looked_s = time.monotonic()
        self._output, self._errors = bytearray(), bytearray()

    def hear(self, output: bytes = b"", errors: bytes = b"") -> None:
        """Take what was read."""
        self._heard_s = time.monotonic()
        self._output += output
        self._errors += errors

    @property
    def errors(self) -> str:
        """What was read from the error stream so far."""
        return self._errors.decode(errors="replace")

    @property
    def printed(self) -> str:
        """The end of what was read from both streams so far."""
        ends = (
            stream[-_FLOOD_SAMPLE_BYTES:].decode(errors="replace") for stream in (self._output, self._errors)
        )
        return "\n".join(ends).strip()

    def reason_to_end(self) -> Ending | None:
        """Look at the limits; None while the command may run on."""
        now_s = time.monotonic()
        self._forgive_own_pause(now_s)
        if self._stop.is_set():
            return Ending.STOPPED
        if now_s - self._started_s > self._limits.deadline_s:
            return Ending.DEADLINE
        if now_s - self._heard_s > self._limits.silence_s:
            return Ending.SILENCE
        if len(self._output) + len(self._errors) > MAXIMUM_OUTPUT_BYTES:
            return Ending.FLOODED
        return None

    def result(self, ending: Ending, status: int | None, errors: str | None = None) -> CommandResult:
        """Return what the command printed, of a flood its beginning; `errors` replaces what was read of them."""
        kept_bytes = _FLOOD_SAMPLE_BYTES if ending is Ending.FLOODED else MAXIMUM_OUTPUT_BYTES * 2
        output = self._output[:kept_bytes].decode(errors="replace")
        errors = self._errors[:kept_bytes].decode(errors="replace") if errors is None else errors[:kept_bytes]
        return CommandResult(ending, status, tuple(output.splitlines()), errors)

    def _forgive_own_pause(self, now_s: float) -> None:
        """Count no time against the command in which this process was stopped itself."""
        if now_s - self._looked_s > _OWN_PAUSE_S:
            self._started_s += now_s - self._looked_s
            self._heard_s = now_s
        self._looked_s = now_s
