"""The connection to this very machine."""

import contextlib
import hashlib
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from devices.connection import CommandResult, Ending, Limits
from devices.errors import ConnectionFault
from devices.watching import POLL_S, Watch


class LocalConnection:
    """Run commands as child processes, each in a process group of its own."""

    def run(
        self, command: Sequence[str], limits: Limits, stop: threading.Event, standard_input: bytes = b""
    ) -> CommandResult:
        """Run a command; see `Connection.run`."""
        with _started(command, standard_input) as process:
            try:
                watch = Watch(limits, stop)
                ending = _drain(process, watch)
                if ending is not Ending.EXITED:
                    _kill(process)
                return watch.result(ending, process.wait())
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


def _started(command: Sequence[str], standard_input: bytes) -> subprocess.Popen[bytes]:
    try:
        # A file, as a command that reads nothing would leave us writing into a full pipe.
        with tempfile.TemporaryFile() as given:
            given.write(standard_input)
            given.seek(0)
            return subprocess.Popen(
                command,
                stdin=given if standard_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
    except OSError as error:
        raise ConnectionFault(f"{command[0]} cannot be started here: {error}") from error


def _drain(process: subprocess.Popen[bytes], watch: Watch) -> Ending:
    """Read both streams until the process has closed them or has to be ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, "output")
        selector.register(process.stderr, selectors.EVENT_READ, "errors")
        while selector.get_map():
            for key, _ in selector.select(POLL_S):
                if chunk := os.read(key.fd, 65536):
                    watch.hear(**{key.data: chunk})
                else:
                    selector.unregister(key.fileobj)
            if ending := watch.reason_to_end():
                return ending
    return Ending.EXITED


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all it started; until it is waited for, its group cannot be anyone else's."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
