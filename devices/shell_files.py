"""The half of a connection that is about files, for connections that run commands in the device's shell."""

import hashlib
import posixpath
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

from devices import remote_shell
from devices.connection import CommandResult, Limits
from devices.errors import ConnectionFault

ANSWER_S = 20.0
_ON_THE_WAY_BYTES = 4 << 20
"""What may have been sent and not arrived yet: the far end's window and the buffers of all systems between."""

_SLOWEST_BYTES_PER_S = 1 << 16


class ShellFiles(ABC):
    """Push, list and remove by commands alone; `str` of a connection is how messages name its device."""

    answer_s = ANSWER_S

    @abstractmethod
    def run(
        self, command: Sequence[str], limits: Limits, stop: threading.Event, standard_input: bytes = b""
    ) -> CommandResult:
        """Run a command; see `Connection.run`. The limits begin once `standard_input` is sent."""

    def push(self, content: bytes, path: str) -> None:
        """Write a file under a temporary name, check its digest there, rename it; see `Connection.push`."""
        temporary = f"{path}.{secrets.token_hex(4)}.part"
        digest = hashlib.sha256(content).hexdigest()
        command = remote_shell.push(posixpath.dirname(path), temporary, path, digest)
        result = self.run(command, self._push_limits(len(content)), threading.Event(), content)
        if result.status != 0:
            complaints = result.errors.strip().splitlines()
            reason = complaints[0] if complaints else result.ending.value
            raise ConnectionFault(f"{path} cannot be written on {self}: {reason}")

    def names(self, folder: str) -> frozenset[str]:
        """List a folder; see `Connection.names`."""
        return frozenset(self.run(remote_shell.names(folder), self._limits(), threading.Event()).lines)

    def remove(self, path: str) -> None:
        """Remove a file or folder; see `Connection.remove`."""
        self.run(remote_shell.remove(path), self._limits(), threading.Event())

    def _push_limits(self, size_bytes: int) -> Limits:
        return self._limits(min(size_bytes, _ON_THE_WAY_BYTES) / _SLOWEST_BYTES_PER_S)

    def _limits(self, more_s: float = 0.0) -> Limits:
        return Limits(self.answer_s + more_s, self.answer_s + more_s)
