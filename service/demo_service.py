"""The service behind the demo: the one that runs already, or one that the demo starts."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from rich.console import Console

from service.child_process import ChildProcess
from service.client import Client
from service.data_folder import find_running, prepare, read_running
from service.errors import StartRefused
from service.secret_files import owner_token_path, read_secret
from service.settings import Settings

START_S = 120.0
POLL_S = 0.2


class DemoService:
    """A context: inside it a service answers at `url`."""

    def __init__(self, settings: Settings, keep: bool, console: Console) -> None:
        self.settings = settings
        self.keep = keep
        self.console = console
        self.url = ""
        self._child: ChildProcess | None = None
        self._kept: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        prepare(self.settings.data_folder)
        running = find_running(self.settings.data_folder)
        if running is not None:
            self.url = running.url
            return self
        try:
            self._start()
            self.url = self._wait_until_up()
        except BaseException:
            self._give_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is not None and self._kept is not None:
            self.console.print(
                f"the service keeps running at {self.url}, process {self._kept.pid}", soft_wrap=True
            )

    def client(self) -> Client:
        """Give a client that may do everything."""
        return Client(self.url, read_secret(owner_token_path(self.settings.data_folder)))

    def stop(self) -> None:
        """End the service that the demo started, unless it is to be kept."""
        if self._child is not None:
            self._child.stop(grace_s=20.0)

    def say_how_it_goes_on(self, page: str) -> None:
        """Print where the live page is, and for how long."""
        if self._child is not None:
            told = f"run `loopfront up`, then open {self.url}{page}"
        elif self._kept is not None:
            told = f"{self.url}{page} (the service keeps running, process {self._kept.pid})"
        else:
            told = f"{self.url}{page} (for as long as the service runs that ran already)"
        self.console.print(f"live page: {told}", soft_wrap=True)

    def _give_up(self) -> None:
        """End what was started: a service that did not come up is not one to keep."""
        self.stop()
        if self._kept is not None:
            self._kept.terminate()
            self._kept.wait()

    @property
    def _log_path(self) -> Path:
        return self.settings.data_folder / "service.log"

    def _start(self) -> None:
        self.console.print("starting the service and the agent (the first time the runner is built)")
        arguments = _up_arguments(self.settings)
        with self._log_path.open("ab") as log:
            if self.keep:
                with _interrupts_held_back():
                    self._kept = _detached(arguments, log)
            else:
                self._child = ChildProcess("service.cli", arguments, log=log)

    def _wait_until_up(self) -> str:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            running = read_running(self.settings.data_folder)
            # An announcement of an earlier day must not be mistaken for that of the one that starts now.
            if running is not None and running.pid == self._pid:
                with Client(running.url) as client:
                    client.wait_until_up(START_S)
                return running.url
            if self._has_ended():
                return self._url_of_another()
            time.sleep(POLL_S)
        raise StartRefused("the service didn't come up", hint=f"see {self._log_path}")

    def _url_of_another(self) -> str:
        """Use the service that another demo started in the same moment; else say why ours has ended."""
        running = find_running(self.settings.data_folder, START_S)
        if running is None:
            raise StartRefused(self._last_words(), code="start-failed")
        self.stop()
        self._child, self._kept = None, None
        return running.url

    @property
    def _pid(self) -> int | None:
        started = self._kept or self._child
        return started.pid if started else None

    def _has_ended(self) -> bool:
        if self._kept is not None:
            return self._kept.poll() is not None
        return self._child is not None and self._child.exit_code is not None

    def _last_words(self) -> str:
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"the service ended at once; see {self._log_path}"
        return said.removeprefix("loopfront: ")


def _up_arguments(settings: Settings) -> list[str]:
    return [
        "up",
        "--data-folder",
        str(settings.data_folder),
        "--host",
        settings.host,
        "--port",
        str(settings.port),
    ]


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let a Ctrl-C take effect only after the block: none may fall between a start and knowing its process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _detached(arguments: Sequence[str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "service.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
