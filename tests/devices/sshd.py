"""A real sshd on a loopback port, with keys and configuration of its own."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from devices.ssh import SshHost, offered_host_key

PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PRIVILEGE_SEPARATION = Path("/run/sshd")


Place = tuple[str, Sequence[str]]
"""The address at which a server listens, and the words that start it where that address is."""
HERE: Place = ("127.0.0.1", ())


class Sshd:
    """One server; `host` is how it is reached, `stop`, `freeze` and `drop` are what can happen to it."""

    def __init__(self, folder: Path, max_sessions: int = 10, settings: str = "", place: Place = HERE) -> None:
        self._folder = folder
        self._address, self._within = place
        self._settings = settings
        self._max_sessions = max_sessions
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.port = _free_port()
        self.user_key = folder / "user_key"
        _make_key(self.user_key)
        self.make_host_key()
        (folder / "authorized_keys").write_text(self.user_key.with_suffix(".pub").read_text())

    @property
    def host(self) -> SshHost:
        pinned = offered_host_key(self._address, self.port)
        return SshHost(self._address, getpass.getuser(), self.user_key, pinned, self.port)

    def make_host_key(self) -> None:
        (self._folder / "host_key").unlink(missing_ok=True)
        _make_key(self._folder / "host_key")

    def start(self) -> None:
        assert PROGRAM is not None
        config = self._folder / "sshd_config"
        config.write_text(
            f"ListenAddress {self._address}\nPort {self.port}\nHostKey {self._folder / 'host_key'}\n"
            f"AuthorizedKeysFile {self._folder / 'authorized_keys'}\nMaxSessions {self._max_sessions}\n"
            "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
            # A user whose shell reads no start-up files: with pyenv or conda in them, each command takes 0.3 s more.
            f"SetEnv HOME={self._folder}\n" + self._settings
        )
        if os.getuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._within, PROGRAM, "-D", "-e", "-f", str(config)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End the server and every connection, as when a machine loses power."""
        if self._process is None:
            return
        self.drop()
        self._process.kill()
        self._process.wait()
        self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every connection's process: the kernel still acknowledges what arrives, nobody answers."""
        pids = self._connections()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def drop(self) -> None:
        """Cut every connection; the server goes on."""
        for pid in self._connections():
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, signal.SIGKILL)

    def _connections(self) -> list[int]:
        """Every sshd process that serves a connection; what users run is not among them."""
        assert self._process is not None
        found, fresh = [], [self._process.pid]
        while fresh:
            children = _children(fresh.pop())
            servers = [pid for pid in children if _name(pid).startswith("sshd")]
            found += servers
            fresh += servers
        return found

    def _wait_until_it_answers(self) -> None:
        deadline_s = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((self._address, self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline_s, (self._folder / "log").read_text()
                time.sleep(0.02)


@contextmanager
def a_running_sshd(
    folder: Path, max_sessions: int = 10, settings: str = "", place: Place = HERE
) -> Iterator[Sshd]:
    """Start a server and stop it at the end; the test is skipped where there is no sshd.

    `settings` are further lines of its configuration.
    """
    if PROGRAM is None:
        pytest.skip("sshd is not installed: apt install openssh-server")
    server = Sshd(folder, max_sessions, settings, place)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _make_key(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
