"""The connection to a phone through the adb server, over the shell protocol that keeps both streams apart."""

import contextlib
import os
import re
import secrets
import select
import shlex
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from devices import remote_shell
from devices.connection import CommandResult, Ending, Limits
from devices.errors import ConfigUnusable, ConnectionFault
from devices.phone_states import SeenPhone, is_network_address, seen_phones
from devices.shell_files import ShellFiles
from devices.watching import POLL_S, Watch

# adbutils reads the port when it is imported and stumbles over one that is none; `usual_server` says what is wrong.
_port = os.environ.pop("ANDROID_ADB_SERVER_PORT", None)
try:
    import adbutils
finally:
    if _port is not None:
        os.environ["ANDROID_ADB_SERVER_PORT"] = _port

_ANSWER_S = 10.0
_CONNECT_S = 15.0
_START_S = 20.0
_KILL_S = 5.0
_SETTLE_S = 3.0
"""How long a phone may take to be back after its adb server was started anew."""

_PASSING_STATES = ("connecting", "authorizing", "offline")
_PUSH_CHUNK_BYTES = 1 << 16

_HEADER = struct.Struct("<BI")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
"""The packets of the shell protocol: one byte that tells which, four for the length, and the content."""

_TROUBLES = (adbutils.AdbError, OSError, EOFError, ValueError)
_LOCAL_HOSTS = ("", "localhost", "127.0.0.1", "::1")
_starting = threading.Lock()


@dataclass(frozen=True)
class AdbServer:
    """The adb server that all adb clients of a host share; it is started where it does not run.

    `environment` is added to this process's own for a server that is started here.
    """

    host: str = "127.0.0.1"
    port: int = 5037
    program: str = "adb"
    environment: Mapping[str, str] = field(default_factory=dict)

    def phones(self) -> tuple[SeenPhone, ...]:
        """Return what `adb devices` shows; raises ConnectionFault if there is no server and none can be started."""
        with self._told(), self._asked("host:devices") as line:
            return seen_phones(line.read_string_block())

    def changes(self, stop: threading.Event, at_least_every_s: float) -> Iterator[tuple[SeenPhone, ...]]:
        """Yield what `adb devices` shows whenever that changes, and now and then, until `stop` is set.

        Raises ConnectionFault when the server ends.
        """
        with self._told(), self._asked("host:track-devices") as line:
            seen, told_s = seen_phones(line.read_string_block()), time.monotonic()
            yield seen
            while not stop.is_set():
                if select.select([line.conn], [], [], POLL_S)[0]:
                    seen = seen_phones(line.read_string_block())
                elif time.monotonic() - told_s < at_least_every_s:
                    continue
                told_s = time.monotonic()
                yield seen

    def connect(self, address: str) -> None:
        """Do what `adb connect HOST:PORT` does; that it failed shows in what `phones` returns."""
        with self._told():
            self._client().connect(address, timeout=_CONNECT_S)

    def opened(self, serial: str, service: str) -> adbutils.AdbConnection:
        """Open one of adb's services on a phone; raises adbutils' own errors."""
        return self._asked(f"host:transport:{serial}", service)

    def features(self, serial: str) -> frozenset[str]:
        """Return what a phone's adb can do, such as shell_v2; raises adbutils' own errors."""
        with self._asked(f"host-serial:{serial}:features") as line:
            return frozenset(line.read_string_block().split(","))

    def _asked(self, *requests: str) -> adbutils.AdbConnection:
        """Return a line on which requests were granted, each once the one before was."""
        line = self._client().make_connection(_ANSWER_S)
        try:
            for request in requests:
                line.send_command(request)
                line.check_okay()
        except BaseException:
            line.close()
            raise
        return line

    def _client(self) -> "_Client":
        return _Client(self)

    def start(self) -> None:
        """Start the server as every adb client does; raises ConnectionFault if that is impossible."""
        with _starting:
            if self._answers():
                return
            if self.host not in _LOCAL_HOSTS:
                raise ConnectionFault(
                    f"no adb server answers at {self}; start it there: adb -a nodaemon server"
                )
            command = [self.program, "-P", str(self.port), "start-server"]
            try:
                done = subprocess.run(
                    command,
                    env={**os.environ, **self.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=_START_S,
                    check=False,
                )
            except FileNotFoundError:
                raise ConnectionFault(
                    "adb is not installed on this machine, so no phones are served; type: sudo apt install adb"
                ) from None
            except (OSError, subprocess.TimeoutExpired) as error:
                raise ConnectionFault(f"adb can't be started: {error}") from None
            if not self._answers():  # another client may have started it meanwhile
                said = done.stdout.decode(errors="replace").strip().splitlines()
                raise ConnectionFault(
                    f"the adb server does not start at {self}: {said[-1] if said else 'it is silent'}"
                )

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host or "127.0.0.1", self.port), timeout=_ANSWER_S).close()
        except OSError:
            return False
        return True

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except _TROUBLES as error:
            raise ConnectionFault(f"the adb server at {self} was lost: {_text(error)}") from error

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def usual_server(environment: Mapping[str, str] = os.environ) -> AdbServer:
    """Return the server that `adb` itself would use; raises ConfigUnusable if it is no TCP address."""
    host = environment.get("ANDROID_ADB_SERVER_ADDRESS") or "127.0.0.1"
    port = environment.get("ANDROID_ADB_SERVER_PORT") or "5037"
    name, given = "ANDROID_ADB_SERVER_PORT", port
    if spec := environment.get("ADB_SERVER_SOCKET"):
        name, given = "ADB_SERVER_SOCKET", spec
        address = re.fullmatch(r"tcp:(?:(?P<host>.*):)?(?P<port>\d+)", spec)
        host, port = (address["host"] or "127.0.0.1", address["port"]) if address else ("", "")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigUnusable(f"{name} = {given!r}: give a port or tcp:HOST:PORT, such as tcp:127.0.0.1:5037")
    return AdbServer(host.strip("[]"), int(port))


class AdbConnection(ShellFiles):
    """Run commands on one phone, each over a stream of its own; nothing is kept open in between.

    Files travel through the shell too: one command that writes, checks and renames, and that tidies up when the line
    breaks. adb's own file protocol leaves half a file then.
    """

    def __init__(self, serial: str, server: AdbServer) -> None:
        self._serial, self._server = serial, server
        self._is_tried = False

    def __str__(self) -> str:
        return f"phone {self._serial}"

    def run(
        self, command: Sequence[str], limits: Limits, stop: threading.Event, standard_input: bytes = b""
    ) -> CommandResult:
        """Run a command; see `Connection.run`."""
        mark = secrets.token_hex(8)
        with self._shell(remote_shell.framed(command, mark)) as shell:
            # The limits are the command's: those of connecting and of sending are their own.
            shell.send(standard_input)
            watch = Watch(limits, stop)
            ending = shell.drain(watch)
            frame = remote_shell.read_frame(watch.errors, mark)
            if ending not in (Ending.EXITED, None):
                self._kill(frame.group)
                if ending is Ending.SILENCE and frame.group is None:
                    raise ConnectionFault(f"{self} was lost: nothing was heard of {command[0]}")
                return watch.result(ending, None, frame.errors)
        if frame.is_missing:
            raise ConnectionFault(f"{command[0]} cannot be started on {self}: it is not there")
        if frame.status is None and ending is None:
            raise ConnectionFault(f"{self} was lost while {command[0]} ran: {self._why()}", watch.printed)
        return watch.result(Ending.EXITED, frame.status, frame.errors)

    def _kill(self, group: int | None) -> None:
        """End all that a command started; without its group only its line can be cut, which hangs it up."""
        if group is None:
            return
        with self._shell(shlex.join(remote_shell.kill_group(group))) as shell:
            shell.drain(Watch(Limits(_KILL_S, _KILL_S), threading.Event()))

    @contextmanager
    def _shell(self, line: str) -> Iterator["_Shell"]:
        """Open a shell; any trouble of line, server or phone is a ConnectionFault that names it and the way out."""
        try:
            with self._opened(f"shell,v2,raw:{line}") as opened:
                yield _Shell(opened.conn)
        except _TROUBLES as error:
            raise ConnectionFault(f"{self} was lost: {self._why(_text(error))}") from error

    def _opened(self, service: str) -> adbutils.AdbConnection:
        if self._is_tried:
            try:
                return self._server.opened(self._serial, service)
            except adbutils.AdbTimeout:
                raise
            except adbutils.AdbError:
                self._is_tried = False
        self._wait_until_usable()
        if "shell_v2" not in self._server.features(self._serial):
            raise ConnectionFault(f"{self} is too old: its adb has no shell_v2, which came with Android 7")
        opened = self._server.opened(self._serial, service)
        self._is_tried = True
        return opened

    def _wait_until_usable(self) -> None:
        """Wait for a phone that a server started anew is just finding; what `adb connect` reached is reached again."""
        if is_network_address(self._serial) and self._seen() is None:
            self._server.connect(self._serial)
        give_up_s = time.monotonic() + _SETTLE_S
        while (seen := self._seen()) is None or not seen.is_usable:
            is_passing = seen is None or seen.state in _PASSING_STATES
            if not is_passing or time.monotonic() > give_up_s:
                raise ConnectionFault(f"{self} can't be used: {self._why()}")
            time.sleep(POLL_S)

    def _seen(self) -> SeenPhone | None:
        return next((seen for seen in self._server.phones() if seen.serial == self._serial), None)

    def _why(self, otherwise: str = "the line broke") -> str:
        """Say what adb thinks of the phone now."""
        try:
            seen = self._seen()
        except ConnectionFault as fault:
            return str(fault)
        if seen is None:
            by_hand = (
                f"type: adb connect {self._serial}" if is_network_address(self._serial) else "plug it in"
            )
            return f"it is not connected; {by_hand}"
        return seen.trouble or otherwise


class _Shell:
    """One command's stream of packets."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._unread = bytearray()

    def send(self, content: bytes) -> None:
        """Write the command's standard input and close it; what it does not want to read is its own affair."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for start in range(0, len(content), _PUSH_CHUNK_BYTES):
                chunk = content[start : start + _PUSH_CHUNK_BYTES]
                self._line.sendall(_HEADER.pack(_STDIN, len(chunk)) + chunk)
            self._line.sendall(_HEADER.pack(_CLOSE_STDIN, 0))

    def drain(self, watch: Watch) -> Ending | None:
        """Read until the phone says that the command has ended, or it has to be; None if the line broke before."""
        self._line.settimeout(POLL_S)
        while True:
            try:
                chunk = self._line.recv(1 << 16)
            except TimeoutError:
                chunk = None
            except ConnectionResetError:
                return None
            if chunk == b"":
                return None
            self._unread += chunk or b""
            for kind, content in self._packets():
                if kind == _EXIT:
                    return Ending.EXITED
                watch.hear(content if kind == _STDOUT else b"", content if kind == _STDERR else b"")
            if ending := watch.reason_to_end():
                return ending

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        while len(self._unread) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._unread)
            end = _HEADER.size + length
            if len(self._unread) < end:
                return
            content = bytes(self._unread[_HEADER.size : end])
            del self._unread[:end]
            yield kind, content


class _Client(adbutils.AdbClient):
    """adbutils' client, which starts a server only at the address that it was given."""

    def __init__(self, server: AdbServer) -> None:
        super().__init__(server.host or "127.0.0.1", server.port)
        self._server = server

    def make_connection(self, timeout: float | None = None) -> adbutils.AdbConnection:
        """Connect to the server, starting it if it does not run."""
        try:
            line = _Line(self.host, self.port)
        except OSError:
            self._server.start()
            line = _Line(self.host, self.port)
        line.conn.settimeout(timeout or _ANSWER_S)
        return line


class _Line(adbutils.AdbConnection):
    """A line to the server; adbutils' own starts one at the usual port, wherever it was told to connect."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        super().__init__(host, port)

    def _safe_connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=_ANSWER_S)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
