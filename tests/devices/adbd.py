"""A simulated phone: the device's side of adb's wire protocol, to be met by the real adb client and server.

    python -m tests.devices.adbd FOLDER        a phone to try things with by hand

Spoken are CNXN, AUTH (with a real RSA check), OPEN, OKAY, WRTE, CLSE, and the services `shell:`, `exec:` and
`shell,v2,...:`, whose commands run on this machine. As in Android's own, a command runs in a session of its own and is
hung up when its line breaks.
"""

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA1

from devices.adb import AdbServer

PROGRAM = shutil.which("adb")
VERSION, LARGEST_PAYLOAD = 0x01000001, 1 << 18
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
FEATURES = "shell_v2,cmd"

Key = rsa.RSAPublicKey


class Adbd:
    """One phone. `drop`, `die`, `freeze` and `drop_after_bytes` are what can happen to it."""

    def __init__(
        self,
        folder: Path,
        features: str = FEATURES,
        state: str = "device",
        accepts_new_keys: bool = True,
    ) -> None:
        self.folder, self.features, self.state = folder, features, state
        self.known_keys: list[Key] = []
        self.offered_keys: list[Key] = []
        self.accepts_new_keys = accepts_new_keys
        self.drop_after_bytes: int | None = None
        self.port = 0
        self.links: set[_Link] = set()
        self.awake = asyncio.Event()
        self.awake.set()
        self.asked = asyncio.Event()
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        self._loop = asyncio.new_event_loop()
        self._listener: asyncio.Server | None = None
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What commands see: the simulated phone's own tools before this machine's."""
        return {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HOME": "/"}

    def tell(self, name: str, text: str) -> None:
        """Let a command of this name answer with `text`; `dumpsys battery` is `dumpsys-battery`."""
        (self.folder / f"{name}.txt").write_text(text)
        tool = self.folder / "bin" / name.partition("-")[0]
        tool.write_text(
            f'#!/bin/sh\nfor word in "$@"; do :; done\ncat "{self.folder}/$(basename "$0")${{word:+-$word}}.txt"\n'
        )
        tool.chmod(0o755)

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._do(self._start())

    def drop(self) -> None:
        """Break every line; what ran is hung up, the phone goes on."""
        self._do(self._drop(signal.SIGHUP))

    def die(self) -> None:
        """Break every line and answer no more, everything that ran dead, as without power."""
        self._do(self._stop())

    def accept(self) -> None:
        """Tap 'allow' in the dialog, once it is shown."""
        self._do(self._accept())

    def freeze(self) -> None:
        """Answer nothing from now on, while the kernel still acknowledges what arrives."""
        self._loop.call_soon_threadsafe(self.awake.clear)

    def _do(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(20)

    async def _start(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._listener = None
        await self._drop(signal.SIGKILL)

    async def _drop(self, number: signal.Signals) -> None:
        for link in list(self.links):
            link.hang_up(number)

    async def _accept(self) -> None:
        self.known_keys += self.offered_keys
        self.accepts_new_keys = True
        for link in list(self.links):
            link.greet_if_known()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, reader, writer)
        self.links.add(link)
        try:
            await link.serve()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            link.hang_up(signal.SIGHUP)
            self.links.discard(link)


class _Link:
    """One adb server's line to the phone."""

    def __init__(self, phone: Adbd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.phone, self._reader, self._writer = phone, reader, writer
        self._streams: dict[int, _Stream] = {}
        self._token = b""
        self._offered: Key | None = None
        self._last_id = 0

    async def serve(self) -> None:
        while True:
            command, first, second, payload = await self._read()
            stream = self._streams.get(second)
            if command == b"CNXN":
                self._ask_for_signature()
            elif command == b"AUTH":
                self._check(first, payload)
            elif command == b"OPEN":
                self._open(first, payload.rstrip(b"\0").decode())
            elif command == b"OKAY" and stream:
                stream.may_write.set()
            elif command == b"WRTE" and stream:
                stream.arrived.put_nowait(payload)
            elif command == b"CLSE" and stream:
                self.close(stream)

    async def _read(self) -> tuple[bytes, int, int, bytes]:
        await self.phone.awake.wait()
        header = await self._reader.readexactly(24)
        command, first, second, length, _, _ = struct.unpack("<4s5I", header)
        payload = await self._reader.readexactly(length)
        await self.phone.awake.wait()
        if self.phone.drop_after_bytes is not None and command == b"WRTE":
            self.phone.drop_after_bytes -= length
            if self.phone.drop_after_bytes < 0:
                self.phone.drop_after_bytes = None
                raise ConnectionError("as the test asked")
        return command, first, second, payload

    def send(self, command: bytes, first: int, second: int, payload: bytes = b"") -> None:
        number = int.from_bytes(command, "little")
        header = struct.pack("<6I", number, first, second, len(payload), sum(payload), number ^ 0xFFFFFFFF)
        self._writer.write(header + payload)

    def hang_up(self, number: signal.Signals) -> None:
        for stream in list(self._streams.values()):
            stream.hang_up(number)
        self._streams.clear()
        self._writer.close()

    def close(self, stream: "_Stream") -> None:
        """End a stream, whoever wanted that; either side answers CLSE with CLSE."""
        if self._streams.pop(stream.own_id, None):
            self.send(b"CLSE", stream.own_id, stream.peer_id)
            stream.hang_up(signal.SIGHUP)

    def greet_if_known(self) -> None:
        if self._offered in self.phone.known_keys:
            self._greet()

    def _greet(self) -> None:
        about = "ro.product.name=simulated;ro.product.model=Simulated_X1;ro.product.device=simulated"
        banner = f"{self.phone.state}::{about};features={self.phone.features}"
        self.send(b"CNXN", VERSION, LARGEST_PAYLOAD, banner.encode())

    def _ask_for_signature(self) -> None:
        self._token = os.urandom(20)
        self.send(b"AUTH", TOKEN, 0, self._token)

    def _check(self, kind: int, payload: bytes) -> None:
        if kind == PUBLIC_KEY:
            self._offered = public_key(payload)
            self.phone.offered_keys.append(self._offered)
            if self.phone.accepts_new_keys:
                self.phone.known_keys.append(self._offered)
            self.greet_if_known()
        elif any(has_signed(key, payload, self._token) for key in self.phone.known_keys):
            self._greet()
        else:
            self._ask_for_signature()  # the next of the host's keys, or at last its public key

    def _open(self, peer_id: int, service: str) -> None:
        kind, _, command = service.partition(":")
        self._last_id += 1
        if kind.split(",")[0] not in ("shell", "exec") or not command:
            self.send(b"CLSE", 0, peer_id)
            return
        stream = _Stream(self, self._last_id, peer_id, has_packets="v2" in kind.split(","))
        self._streams[stream.own_id] = stream
        self.send(b"OKAY", stream.own_id, peer_id)
        stream.start(command)


class _Stream:
    """One service that was opened: a command, its input and its output."""

    def __init__(self, link: _Link, own_id: int, peer_id: int, has_packets: bool) -> None:
        self.own_id, self.peer_id = own_id, peer_id
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self._link, self._has_packets = link, has_packets
        self._unread = b""
        self._sending = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._sockets: list[socket.socket] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: str) -> None:
        ours, theirs = socket.socketpair()
        ours_errors, theirs_errors = socket.socketpair()
        self._sockets = [ours, ours_errors]
        for end in self._sockets:
            end.setblocking(False)
        phone = self._link.phone
        self._process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs_errors if self._has_packets else theirs,
            start_new_session=True,
            env=phone.environment,
        )
        theirs.close()
        theirs_errors.close()
        self._tasks = [asyncio.create_task(task) for task in (self._feed(ours), self._end(ours, ours_errors))]

    def hang_up(self, number: signal.Signals) -> None:
        for task in self._tasks:
            task.cancel()
        for end in self._sockets:
            end.close()
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if number is signal.SIGKILL else os.kill)(process.pid, number)
            threading.Thread(target=process.wait, daemon=True).start()

    async def _feed(self, standard_input: socket.socket) -> None:
        """Hand what arrives to the command, and only then ask for more."""
        while True:
            self._unread += await self.arrived.get()
            for kind, content in self._packets():
                with contextlib.suppress(OSError):  # it may have closed its input
                    if kind == STDIN:
                        await asyncio.get_running_loop().sock_sendall(standard_input, content)
                    elif kind == CLOSE_STDIN:
                        standard_input.shutdown(socket.SHUT_WR)
            self._link.send(b"OKAY", self.own_id, self.peer_id)

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        if not self._has_packets:
            content, self._unread = self._unread, b""
            yield STDIN, content
        while len(self._unread) >= 5:
            kind, length = struct.unpack_from("<BI", self._unread)
            if len(self._unread) < 5 + length:
                return
            content, self._unread = self._unread[5 : 5 + length], self._unread[5 + length :]
            yield kind, content

    async def _end(self, output: socket.socket, errors: socket.socket) -> None:
        """Pass both streams on until they end, then tell the status, then close."""
        assert self._process is not None
        await asyncio.gather(self._pass_on(output, STDOUT), self._pass_on(errors, STDERR))
        status = await asyncio.to_thread(self._process.wait)
        if self._has_packets:
            await self._write(bytes([EXIT, 1, 0, 0, 0, status & 0xFF if status >= 0 else 128 - status]))
        self._link.close(self)

    async def _pass_on(self, source: socket.socket, kind: int) -> None:
        while content := await self._read(source):
            await self._write(
                struct.pack("<BI", kind, len(content)) + content if self._has_packets else content
            )

    async def _read(self, source: socket.socket) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(source, 1 << 15)
        except ConnectionResetError:  # the command ended with input unread
            return b""

    async def _write(self, payload: bytes) -> None:
        """Send one WRTE once the one before was acknowledged."""
        async with self._sending:
            await self.may_write.wait()
            await self._link.phone.awake.wait()
            self.may_write.clear()
            self._link.send(b"WRTE", self.own_id, self.peer_id, payload)


def public_key(payload: bytes) -> Key:
    """Read adb's own form: words, an inverse, modulus and its square of R (little-endian), exponent, in base64."""
    packed = base64.b64decode(payload.split(b" ")[0].rstrip(b"\0"))
    modulus = int.from_bytes(packed[8 : 8 + 256], "little")
    exponent = int.from_bytes(packed[8 + 512 : 8 + 516], "little")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def has_signed(key: Key, signature: bytes, token: bytes) -> bool:
    try:
        key.verify(signature, token, padding.PKCS1v15(), utils.Prehashed(SHA1()))
    except InvalidSignature:
        return False
    return True


@contextmanager
def a_private_server(folder: Path) -> Iterator[AdbServer]:
    """The real adb server on a port and with keys of its own, which looks at no USB device and no emulator."""
    if PROGRAM is None:
        pytest.skip("adb is not installed: apt install adb")
    folder.mkdir(parents=True, exist_ok=True)
    quiet = {"ADB_MDNS": "0", "ADB_USB": "0", "ADB_EMU": "0", "ADB_LOCAL_TRANSPORT_MAX_PORT": "5550"}
    private = {"HOME": str(folder), "TMPDIR": str(folder), "ANDROID_SDK_HOME": str(folder), **quiet}
    server = AdbServer(port=_free_port(), environment=private)
    try:
        yield server
    finally:
        adb(server, "kill-server")


def adb(server: AdbServer, *words: str) -> str:
    """Type an adb command, as any other user of the host might."""
    command = [server.program, "-P", str(server.port), *words]
    environment = {**os.environ, **server.environment}
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=False,
    )
    return done.stdout + done.stderr


@contextmanager
def a_phone(folder: Path, server: AdbServer, **settings: Any) -> Iterator[Adbd]:
    """A simulated phone that the server is connected to."""
    phone = Adbd(folder, **settings)
    phone.start()
    try:
        server.connect(phone.serial)
        yield phone
    finally:
        phone.die()
        adb(server, "disconnect", phone.serial)


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    shown = Adbd(Path(sys.argv[1]), accepts_new_keys="--asks" not in sys.argv)
    shown.start()
    print(f"type: adb connect {shown.serial}", flush=True)  # noqa: T201
    for _ in sys.stdin:
        shown.accept()
