"""The connection to a machine over SSH: one pinned host key, one user key, no agent, no password."""

import base64
import contextlib
import hashlib
import secrets
import shlex
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

from devices import remote_shell
from devices.connection import CommandResult, Ending, Limits
from devices.errors import ConnectionFault, HostKeyChanged
from devices.shell_files import ANSWER_S, ShellFiles
from devices.watching import POLL_S, Watch

_CONNECT_S = 10.0
_KILL_S = 5.0
_KEEPALIVE_S = 5
_DEAD_LINK_MS = 6_000
"""Bytes that stay unacknowledged for so long end the connection; keepalives alone need minutes."""

_REFUSED_SESSION_S = 5.0
"""How long a server that is at its MaxSessions is asked again."""

_PUSH_CHUNK_BYTES = 1 << 15


@dataclass(frozen=True)
class SshHost:
    """How a machine is reached, and the one host key that it must show.

    `host_key` is what `offered_host_key` returns, such as ``ssh-ed25519 SHA256:...``.
    """

    host: str
    user: str
    key_path: Path
    host_key: str
    port: int = 22

    @property
    def address(self) -> str:
        """How messages name the machine."""
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != 22 else "")


def offered_host_key(host: str, port: int = 22) -> str:
    """Return the host key that a server shows, as it is pinned; raises ConnectionFault if nobody answers."""
    with contextlib.closing(_transport(host, port)) as transport:
        return _pinned_form(transport.get_remote_server_key())


class SshConnection(ShellFiles):
    """Run commands on one host over a single transport, which is made anew after it was lost."""

    def __init__(self, host: SshHost, answer_s: float = ANSWER_S) -> None:
        """Reach a host; a push of which nothing moves for `answer_s` is given up, however long it took so far."""
        self._host = host
        self.answer_s = answer_s
        self._lock = threading.Lock()
        self._made: paramiko.Transport | None = None

    def __str__(self) -> str:
        return self._host.address

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            if self._made is not None:
                self._made.close()
            self._made = None

    def run(
        self, command: Sequence[str], limits: Limits, stop: threading.Event, standard_input: bytes = b""
    ) -> CommandResult:
        """Run a command; see `Connection.run`."""
        mark = secrets.token_hex(8)
        with self._session() as channel:
            _start(channel, remote_shell.framed(command, mark))
            # The limits are the command's: those of connecting and of sending are their own.
            self._send(channel, standard_input)
            watch = Watch(limits, stop)
            ending = _drain(channel, watch)
            frame = remote_shell.read_frame(watch.errors, mark)
            if ending is not Ending.EXITED:
                self._kill(frame.group)
                if ending is Ending.SILENCE and frame.group is None:
                    raise ConnectionFault(f"{self} was lost: nothing was heard of {command[0]}")
                return watch.result(ending, None, frame.errors)
        if frame.is_missing:
            raise ConnectionFault(f"{command[0]} cannot be started on {self}: it is not there")
        if frame.status is None and not self._is_alive():
            raise ConnectionFault(f"{self} was lost while {command[0]} ran", watch.printed)
        return watch.result(ending, frame.status, frame.errors)

    def _send(self, channel: paramiko.Channel, content: bytes) -> None:
        """Write the command's standard input and close it; what it does not want to read is its own affair."""
        channel.settimeout(self.answer_s)
        try:
            for start in range(0, len(content), _PUSH_CHUNK_BYTES):
                channel.sendall(content[start : start + _PUSH_CHUNK_BYTES])
            channel.shutdown_write()
        except TimeoutError:
            raise ConnectionFault(
                f"{self} took nothing for {self.answer_s:.0f} s of what is pushed"
            ) from None
        except OSError:
            return

    def _kill(self, group: int | None) -> None:
        """End all that a command started; raises ConnectionFault where the line is too dead to carry that."""
        if group is None:
            self.close()  # the far end then writes into a closed pipe and dies
            return
        try:
            with self._session() as channel:
                _start(channel, shlex.join(remote_shell.kill_group(group)))
                _drain(channel, Watch(Limits(_KILL_S, _KILL_S), threading.Event()))
        except ConnectionFault:
            self.close()
            raise

    def _is_alive(self) -> bool:
        return self._made is not None and self._made.is_active()

    @contextmanager
    def _session(self) -> Iterator[paramiko.Channel]:
        """Open a session, on a new transport if the last was lost; any trouble of the line is a ConnectionFault."""
        try:
            channel = self._opened()
            try:
                yield channel
            finally:
                channel.close()
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise ConnectionFault(f"{self} was lost: {_text(error)}") from error

    def _opened(self) -> paramiko.Channel:
        give_up_s = time.monotonic() + _REFUSED_SESSION_S
        while True:
            try:
                return self._transport().open_session(timeout=_CONNECT_S)
            except paramiko.ChannelException as refusal:
                if time.monotonic() > give_up_s:
                    raise ConnectionFault(
                        f"{self} refuses another session ({_text(refusal)}): is it at its MaxSessions?"
                    ) from None
                time.sleep(POLL_S)

    def _transport(self) -> paramiko.Transport:
        with self._lock:
            if self._made is None or not self._made.is_active():
                self._made = _authenticated(self._host)
            return self._made


def _authenticated(host: SshHost) -> paramiko.Transport:
    kind, _, _ = host.host_key.partition(" ")
    transport = _transport(host.host, host.port, kind)
    try:
        shown = _pinned_form(transport.get_remote_server_key())
        if shown != host.host_key:
            raise HostKeyChanged(
                f"{host.address} shows the host key {shown}, pinned is {host.host_key}: another machine answers, or it "
                "was installed anew. If you know why, pin the new key with: loopfront agent add-ssh "
                f"{host.address}"
            )
        transport.auth_publickey(host.user, _user_key(host.key_path))
    except BaseException as error:
        transport.close()
        if isinstance(error, paramiko.AuthenticationException):
            raise ConnectionFault(
                f"{host.address} does not accept the key {host.key_path}; add its public half to authorized_keys there"
            ) from None
        raise
    transport.set_keepalive(_KEEPALIVE_S)
    return transport


def _transport(host: str, port: int, host_key_kind: str | None = None) -> paramiko.Transport:
    """Connect and agree on keys; nothing is authenticated yet."""
    try:
        line = socket.create_connection((host, port), timeout=_CONNECT_S)
    except (OSError, ValueError) as error:  # a name with empty or endless parts can't even be asked for
        raise ConnectionFault(f"{host}:{port} does not answer: {_text(error)}") from error
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_LINK_MS)
    transport = paramiko.Transport(line)
    try:
        if host_key_kind is not None:
            transport.get_security_options().key_types = (host_key_kind,)
        transport.start_client(timeout=_CONNECT_S)
    except (paramiko.SSHException, OSError, EOFError, ValueError) as error:
        transport.close()
        raise ConnectionFault(f"{host}:{port} does not speak SSH as pinned: {_text(error)}") from error
    return transport


def _pinned_form(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def _user_key(path: Path) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(path)
    except (OSError, paramiko.SSHException, ValueError, TypeError) as error:
        raise ConnectionFault(f"the key {path} cannot be used: {_text(error)}") from error


def _start(channel: paramiko.Channel, command: str) -> None:
    """Ask for a command to be started; a peer that never answers that loses the line."""
    transport = channel.get_transport()
    timer = threading.Timer(_CONNECT_S, transport.close)
    timer.daemon = True
    timer.start()
    try:
        channel.exec_command(command)
    finally:
        timer.cancel()


def _drain(channel: paramiko.Channel, watch: Watch) -> Ending:
    """Read both streams until the far end has closed them, or the command has to be ended."""
    channel.settimeout(POLL_S)
    is_open = True
    while True:
        try:
            chunk = channel.recv(65536) if is_open else channel.recv_stderr(65536)
        except TimeoutError:
            chunk = None
        if chunk:
            watch.hear(**{"output" if is_open else "errors": chunk})
        elif chunk == b"" and not is_open:
            return Ending.EXITED
        elif chunk == b"":
            is_open = False
        while channel.recv_stderr_ready():
            watch.hear(errors=channel.recv_stderr(65536))
        if ending := watch.reason_to_end():
            return ending


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
