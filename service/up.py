"""Run everything on one machine: the service, the search loop and the local agent, as one command."""

import contextlib
import errno
import gc
import os
import resource
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import anyio.to_thread
import structlog
import uvicorn

from devices.errors import QuietLockUnusable
from devices.quiet import open_quiet_lock
from service.api.limits import LOOPBACK_NAMES
from service.app import create_app
from service.data_folder import DataFolderLock, RunningService, prepare, refuse_second
from service.errors import StartRefused
from service.local_agent import LocalAgent, require_runner
from service.parts import Parts, open_parts
from service.search_loop import SearchLoop
from service.secret_files import owner_token_path, read_secret
from service.settings import Settings
from service.store.bell_wire import BellWire
from service.version import VERSION
from service.webhook_sender import WebhookSender

PLAIN_HTTP_WORDS = "everyone may read our tokens"
STOP_SERVER_S = 5.0
MOST_FILES = 65536
WATCH_S = 0.5
THREADS = 16

log = structlog.get_logger()


def run_up(settings: Settings, with_agent: bool = True, with_search: bool = True) -> None:
    """Serve until Ctrl-C or SIGTERM; raise StartRefused in one line where that can't begin.

    Without `with_search` studies wait for a `loopfront worker`.
    """
    refuse_open_door(settings)
    refuse_second(settings.data_folder)
    # First, as a port in use is the likeliest refusal, and must leave nothing behind in a fresh data folder.
    with bind(settings.host, settings.port) as listener:
        prepare(settings.data_folder)
        allow_many_files()
        lock = DataFolderLock(settings.data_folder)
        lock.acquire()
        try:
            _require_quiet_lock()
            if with_agent:
                require_runner(settings)
            _serve(settings, lock, listener, with_agent, with_search)
        finally:
            lock.release()


def refuse_open_door(settings: Settings) -> None:
    """Refuse to send tokens over a network in plain text, unless told so in words; StartRefused says which."""
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise StartRefused(
            "TLS takes a certificate and its key", field="--tls-certificate", hint="give --tls-key too"
        )
    for path in filter(None, (settings.tls_certificate, settings.tls_key)):
        if not os.access(path, os.R_OK):
            raise StartRefused(
                "can't be read", field=str(path), hint="give PEM files that this user may read"
            )
    is_safe = settings.host in LOOPBACK_NAMES or settings.tls_certificate is not None or settings.behind_proxy
    if not is_safe and settings.plain_http != PLAIN_HTTP_WORDS:
        raise StartRefused(
            f"on {settings.host} without TLS everyone on the network could read the tokens",
            field="--host",
            hint="give --tls-certificate and --tls-key, put a TLS proxy before it (--behind-proxy), or say "
            f"--plain-http {shlex.quote(PLAIN_HTTP_WORDS)}",
            code="open-door",
        )


def _require_quiet_lock() -> None:
    """Refuse to start where building and training could not be kept apart from timing."""
    try:
        open_quiet_lock().close()
    except QuietLockUnusable as error:
        raise StartRefused(str(error), code="quiet-lock") from None


def bind(host: str, port: int) -> socket.socket:
    """Listen on an address; StartRefused names the port and the option that changes it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By its protocol asyncio knows it as TCP, and sends at once: else small answers wait 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise _bind_error(host, port, error) from None
    return listener


def _bind_error(host: str, port: int, error: OSError) -> StartRefused:
    if error.errno == errno.EADDRINUSE:
        return StartRefused(
            f"port {port} on {host} is in use", hint=f"choose another: --port {port + 1}", code="port-in-use"
        )
    reason = error.strerror or str(error)
    return StartRefused(
        f"can't listen on {host} port {port}: {reason}", hint="choose another --host or --port"
    )


def allow_many_files() -> None:
    """Let as many files be open as this user may have: every waiting agent and every event stream is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else max(soft, MOST_FILES)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _serve(
    settings: Settings, lock: DataFolderLock, listener: socket.socket, with_agent: bool, with_search: bool
) -> None:
    is_tls = settings.tls_certificate is not None
    running = RunningService(os.getpid(), settings.host, listener.getsockname()[1], VERSION, is_tls)
    parts = open_parts(settings)
    server = Server(parts, listener)
    wire = BellWire(parts.database, parts.bell)
    loop, sender = SearchLoop(parts) if with_search else None, WebhookSender(parts)
    agent = LocalAgent(settings, running.url, parts.agent_news) if with_agent else None
    stop = stop_on_signals()
    try:
        wire.start()
        server.start()
        if loop is not None:
            loop.start()
        sender.start()
        if agent is not None:
            agent.start()
        lock.announce(running)
        log.info("up", url=running.url, data_folder=str(settings.data_folder))
        _say_how_to_log_in(parts, running.url)
        _watch(stop, server, loop, agent)
    finally:
        # The agent first, while the service can still take what it finished.
        last = [sender.stop, server.stop, wire.stop, parts.database.close]
        _stop_all([agent.stop if agent else None, loop.stop if loop else None, *last])


def _say_how_to_log_in(parts: Parts, url: str) -> None:
    """Print a link that opens the pages once, as this machine's owner."""
    owner = parts.gatekeeper.principal(read_secret(owner_token_path(parts.settings.data_folder)), "here")
    link = f"{url}/login?link={parts.gatekeeper.link(owner)}"
    sys.stderr.write(
        f"\n    open {link}\n    (once, within a quarter of an hour; another one: loopfront link)\n\n"
    )
    sys.stderr.flush()


def _watch(
    stop: threading.Event, server: "Server", loop: SearchLoop | None, agent: LocalAgent | None
) -> None:
    while not stop.wait(WATCH_S):
        if not server.is_alive or (loop is not None and not loop.is_alive):
            raise StartRefused("the service ended by itself", hint="see the log above")
        if agent is not None:
            agent.restart_if_ended()


def _stop_all(steps: list[Callable[[], None] | None]) -> None:
    for step in steps:
        if step is not None:
            step()


def stop_on_signals() -> threading.Event:
    """Give an event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            os._exit(130)  # a second Ctrl-C: now; the kernel closes the agent's pipe, which ends it
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return stop


class _FewThreads(uvicorn.Server):
    """Runs no more endpoints at once than there are database connections: they would wait for those, and the GIL."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        await super().startup(sockets)


def _collect_seldom() -> None:
    """Look for cycles of garbage more seldom, and never among what was imported: a tenth of a request was that."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class Server:
    """uvicorn in a thread: signals stay ours, so that things stop in our order."""

    def __init__(self, parts: Parts, listener: socket.socket) -> None:
        config = uvicorn.Config(
            create_app(parts),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
            lifespan="off",
            ssl_certfile=parts.settings.tls_certificate,
            ssl_keyfile=parts.settings.tls_key,
            proxy_headers=False,
        )
        self._server = _FewThreads(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="server", daemon=True
        )

    @property
    def is_alive(self) -> bool:
        """False when the thread ended."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Return once it answers."""
        _collect_seldom()
        self._thread.start()
        deadline = time.monotonic() + STOP_SERVER_S
        while not self._server.started and self.is_alive and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> None:
        """Let requests under way end, and no others begin."""
        self._server.should_exit = True
        self._thread.join(STOP_SERVER_S)


def configure_log() -> None:
    """Print log lines on stderr, in colour only on a terminal."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
