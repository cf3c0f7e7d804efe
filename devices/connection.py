"""What a way of reaching a device must offer: run a command, push a file, list names, remove a file."""

import enum
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Limits:
    """How long a command may take in all, and how long it may print nothing."""

    deadline_s: float
    silence_s: float


class Ending(enum.Enum):
    """Why a command is no longer running."""

    EXITED = "exited"  # by itself; the status says how
    DEADLINE = "deadline"  # killed, it ran too long
    SILENCE = "silence"  # killed, it printed nothing for too long
    STOPPED = "stopped"  # killed, the caller asked for it
    FLOODED = "flooded"  # killed, it printed more than anyone should read


@dataclass(frozen=True)
class CommandResult:
    """What a command printed and how it ended; `status` is negative for a signal, None if nobody knows."""

    ending: Ending
    status: int | None
    lines: tuple[str, ...]
    errors: str


class Connection(Protocol):
    """A way to one device.

    Every method raises ConnectionFault if the device cannot be reached. An exit status of 0 proves
    nothing here (a phone that dies looks the same): callers look for their own proof in the lines.
    """

    def run(
        self, command: Sequence[str], limits: Limits, stop: threading.Event, standard_input: bytes = b""
    ) -> CommandResult:
        """Run a command to its end, or kill it and all it started at a limit or when `stop` is set."""

    def push(self, content: bytes, path: str) -> None:
        """Write a file whole or not at all, its folders included; the device checks the digest."""

    def names(self, folder: str) -> frozenset[str]:
        """Return the names in a folder; none if it does not exist."""

    def remove(self, path: str) -> None:
        """Remove a file or a folder with everything in it, if it exists."""
