"""The connection to this very machine."""

import contextlib
import hashlib
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from devices.connection import CommandResult, Ending, Limits
from devices.errors import ConnectionFault

# The longest honest run prints some hundred kilobytes.
MAXIMUM_OUTPUT_BYTES = 16_000_000
_FLOOD_SAMPLE_BYTES = 10_000
_POLL_S = 0.1
_OWN_PAUSE_S = 1.0
"""A look that took longer than this was held up on our side: what the command printed meanwhile is still unread."""


class LocalConnection:
    """Run commands as child processes, each in a process group of its own."""

    def run(self, command: Sequence[str], limits: Limits, stop: threading.Event) -> CommandResult:
        """Run a command; see `Connection.run`."""
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise ConnectionFault(f"{command[0]} cannot be started here: {error}") from error
        with process:
            try:
                return _Watch(process, limits, stop).until_it_ends()
            except BaseException:
                _kill(process)
                raise

    def push(self, content: bytes, path: str) -> None:
        """Write a file under a temporary name, read it back, rename it; see `Connection.push`."""
        target = Path(path)
        temporary = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            if _sha256(temporary.read_bytes()) != _sha256(content):
                raise ConnectionFault(f"{path}: what was written is not what was sent")
            temporary.replace(target)
        except OSError as error:
            raise ConnectionFault(f"{path} cannot be written: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def names(self, folder: str) -> frozenset[str]:
        """List a folder; see `Connection.names`."""
        try:
            return frozenset(entry.name for entry in Path(folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()

    def remove(self, path: str) -> None:
        """Remove a file or folder; see `Connection.remove`."""
        target = Path(path)
        if target.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            return
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            target.unlink()


class _Watch:
    """Read both streams of a process until it ends or has to be ended."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits, stop: threading.Event) -> None:
        self._process = process
        self._limits = limits
        self._stop = stop
        self._started_s = self._heard_s = time.monotonic()
        assert process.stdout is not None
        assert process.stderr is not None
        self._streams = (process.stdout, process.stderr)
        self._read = {stream: bytearray() for stream in self._streams}

    def until_it_ends(self) -> CommandResult:
        ending = self._drain()
        if ending is not Ending.EXITED:
            _kill(self._process)
        status = self._process.wait()
        kept_bytes = _FLOOD_SAMPLE_BYTES if ending is Ending.FLOODED else MAXIMUM_OUTPUT_BYTES * 2
        output, errors = (self._read[s][:kept_bytes].decode(errors="replace") for s in self._streams)
        return CommandResult(ending, status, tuple(output.splitlines()), errors)

    def _drain(self) -> Ending:
        with selectors.DefaultSelector() as selector:
            for stream in self._streams:
                selector.register(stream, selectors.EVENT_READ)
            now_s = time.monotonic()
            while selector.get_map():
                for key, _ in selector.select(_POLL_S):
                    self._take(selector, key)
                looked_s, now_s = now_s, time.monotonic()
                self._forgive_own_pause(looked_s, now_s)
                if ending := self._reason_to_end(now_s):
                    return ending
        return Ending.EXITED

    def _take(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        chunk = os.read(key.fd, 65536)
        if not chunk:
            selector.unregister(key.fileobj)
            return
        self._heard_s = time.monotonic()
        self._read[key.fileobj] += chunk  # type: ignore[index]

    def _forgive_own_pause(self, looked_s: float, now_s: float) -> None:
        """Count no time against the command in which this process was stopped itself."""
        if now_s - looked_s > _OWN_PAUSE_S:
            self._started_s += now_s - looked_s
            self._heard_s = now_s

    def _reason_to_end(self, now_s: float) -> Ending | None:
        if self._stop.is_set():
            return Ending.STOPPED
        if now_s - self._started_s > self._limits.deadline_s:
            return Ending.DEADLINE
        if now_s - self._heard_s > self._limits.silence_s:
            return Ending.SILENCE
        if sum(map(len, self._read.values())) > MAXIMUM_OUTPUT_BYTES:
            return Ending.FLOODED
        return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all it started; until it is waited for, its group cannot be anyone else's."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
