"""A child process that never outlives its parent, even if the parent is killed with -9."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

GRACE_S = 8.0


class ChildProcess:
    """A Python module running in a process group of its own, tied to this process by a pipe."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        log: IO[bytes] | None = None,
    ) -> None:
        # Without -P a module of the folder where the user happens to be would be taken for ours.
        # The kernel closes our end of the pipe when we die; the child's watcher thread then ends its group.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "service.child_entry", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The child's process id, also the id of its group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Ask it to end, then make its whole group end."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
