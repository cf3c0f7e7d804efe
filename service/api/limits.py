"""ASGI middleware that refuses foreign host names, foreign origins and bodies over their limit."""

import contextlib
import re
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem
from service.errors import BadInput, TooLarge
from service.settings import Settings

_RESULT_PATH = re.compile(r"/api/v1/jobs/[^/]+/result")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
EVERYWHERE = frozenset({"0.0.0.0", "::"})


class KnownHostOnly:
    """Refuse a Host header that isn't this service: a page on the web must not reach it by DNS rebinding."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.names = LOOPBACK_NAMES | {settings.host.lower(), *(name.lower() for name in settings.names)}
        # By number alone: only a name can be made to mean this machine by a page on the web. Behind a proxy, which
        # asks by a name of its own, the proxy decides.
        self.takes_any_number = settings.host in EVERYWHERE
        self.takes_any_name = settings.behind_proxy and not settings.names
        self.address = f"http://{settings.host}:{settings.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 400 to a foreign host and 403 to a change asked for by a foreign page."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if scope["type"] == "http" and _is_foreign_change(scope["method"], headers):
            foreign = BadInput(
                f"{headers['origin'][:100]!r} is another site: its pages may not change anything here",
                field="Origin",
                hint="use this service's own pages, the command line, or a program that sends no Origin",
            )
            foreign.status = 403
            await problem(foreign)(scope, receive, send)
            return
        if scope["type"] != "http" or self._is_ours(_host_name(headers.get("host", ""))):
            await self.app(scope, receive, send)
            return
        name = headers.get("host", "")[:100]
        error = BadInput(
            f"this service doesn't go by the name {name!r}",
            field="Host",
            hint="use this machine's number, such as http://10.0.0.5"
            if self.takes_any_number
            else f"use {self.address}",
        )
        error.status = 400
        await problem(error)(scope, receive, send)

    def _is_ours(self, name: str) -> bool:
        return self.takes_any_name or name in self.names or (self.takes_any_number and _is_number(name))


def _is_number(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign_change(method: str, headers: Headers) -> bool:
    """Tell whether another site's page asks for a change: its origin isn't the place that was asked, port included."""
    origin = headers.get("origin")
    if origin is None or method in SAFE_METHODS:
        return False
    return origin.partition("://")[2].lower() != headers.get("host", "").lower()


class BehindProxy:
    """Take the asker's address and scheme from the one proxy before us: what it added last, not what it was told."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on as the proxy saw it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            address, scheme = (_last(headers.getlist(f"x-forwarded-{name}")) for name in ("for", "proto"))
            scope = {**scope, "client": (address, 0) if address else scope.get("client")}
            scope["scheme"] = scheme if scheme in {"http", "https"} else scope["scheme"]
        await self.app(scope, receive, send)


def _last(values: list[str]) -> str:
    return ",".join(values).rpartition(",")[2].strip()


class LimitedBody:
    """Refuse a body over its limit, whether or not its length was announced."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            await problem(_too_large(limit))(scope, receive, send)
            return
        counted = _CountedBody(receive, send, limit)
        with contextlib.suppress(TooLarge):
            await self.app(scope, counted.receive, counted.send)
        if counted.is_too_large:
            await problem(_too_large(limit))(scope, receive, send)

    def _limit(self, path: str) -> int:
        is_result = _RESULT_PATH.fullmatch(path) is not None
        return self.settings.result_limit_bytes if is_result else self.settings.body_limit_bytes


class _CountedBody:
    """Counts what is received; once it is too much, whatever the application makes of that is not sent."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self.is_too_large = False
        self._receive = receive
        self._send = send
        self._left = limit

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.is_too_large = True
            raise TooLarge("the body is over its limit")
        return message

    async def send(self, message: Message) -> None:
        if not self.is_too_large:
            await self._send(message)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is over {limit} bytes", hint="send less; raw samples belong into a job's result"
    )


def _host_name(header: str) -> str:
    match = re.fullmatch(r"\[([^\]]+)\](?::\d+)?|([^:]*)(?::\d+)?", header.strip().lower())
    return (match.group(1) or match.group(2) or "") if match else ""
