"""One keep-alive HTTP connection that costs so little that a thousand of them fit beside the service they load."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What came back, and after how long."""

    status: int
    body: bytes
    seconds: float

    def json(self) -> Any:
        """Read the body."""
        return json.loads(self.body)


class Line:
    """Speaks HTTP/1.1 with one service, one request at a time."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self._port = port
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> Answer:
        """Send JSON."""
        return await self._request("POST", path, body)

    async def get(self, path: str) -> Answer:
        """Ask for something."""
        return await self._request("GET", path, b"")

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def _request(self, method: str, path: str, body: bytes) -> Answer:
        head = (
            f"{method} /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{self._head}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        began_s = time.perf_counter()
        is_old = self._streams is not None
        try:
            reader, told = await self._ask(head.encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            if not is_old:
                raise
            self.close()  # the service hung up, as it does on a connection that was idle for a while
            reader, told = await self._ask(head.encode() + body)
        status_line, *fields = told.decode().split("\r\n")
        lengths = [each.partition(":")[2] for each in fields if each.lower().startswith("content-length:")]
        content = await reader.readexactly(int(lengths[0])) if lengths else b""
        return Answer(int(status_line.split()[1]), content, time.perf_counter() - began_s)

    async def _ask(self, request: bytes) -> tuple[asyncio.StreamReader, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        return reader, await reader.readuntil(b"\r\n\r\n")
