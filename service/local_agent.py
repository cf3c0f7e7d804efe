"""The agent of the service's own machine, kept running as a child process."""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import IO

import structlog

from devices.errors import BuildError, RuntimeLibraryError
from devices.runner.build import build_runner
from devices.runtime_library import installed_runtime
from service.agent_news import AgentNews
from service.child_process import ChildProcess
from service.errors import StartRefused
from service.secret_files import agent_token_path
from service.settings import Settings

RESTART_PAUSES_S = (0.5, 2.0, 5.0, 15.0)
"""One pause after each end in a row; an agent that ends once more will not be mended by starting it again."""
HEALTHY_AFTER_S = 60.0
RELAY_S = 2.0

log = structlog.get_logger()


def agent_folder(settings: Settings) -> Path:
    """Where the local agent keeps its runner, its pools and its spool."""
    return settings.data_folder / "agent"


def require_runner(settings: Settings) -> None:
    """Build the runner, or say in one line what is missing."""
    try:
        build_runner(agent_folder(settings) / "runner")
        installed_runtime()
    except (BuildError, RuntimeLibraryError) as error:
        # A compiler's complaint has many lines.
        raise StartRefused(" ".join(str(error).split()), code="runner-missing") from None


class LocalAgent:
    """Starts the agent and starts it again when it ends by itself, until that makes no sense any more."""

    def __init__(
        self,
        settings: Settings,
        service_url: str,
        news: AgentNews | None = None,
        pauses_s: tuple[float, ...] = RESTART_PAUSES_S,
    ) -> None:
        self._settings = settings
        self._url = service_url
        self._news = news or AgentNews()
        self._pauses_s = pauses_s
        self._child: ChildProcess | None = None
        self._relay: _Relay | None = None
        self._started_at = 0.0
        self._failures = 0

    @property
    def pid(self) -> int | None:
        """The agent's process id, while there is one."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the agent."""
        folder = agent_folder(self._settings)
        folder.mkdir(parents=True, exist_ok=True)
        token = str(agent_token_path(self._settings.data_folder))
        arguments = ["--server", self._url, "--folder", str(folder), "--no-phones", "--token-file", token]
        self._relay = _Relay()
        with self._relay.writing_end as written:
            self._child = ChildProcess("devices.agent", arguments, _environment(), written)
        self._started_at = time.monotonic()

    def restart_if_ended(self) -> None:
        """Start it again after a pause that grows while it keeps ending; after the last pause, give it up."""
        if self._child is None:
            return
        since_start_s = time.monotonic() - self._started_at
        if self._child.exit_code is None:
            if since_start_s > HEALTHY_AFTER_S:
                self._failures, self._news.trouble = 0, ""
        elif self._failures == len(self._pauses_s):
            self._give_up(self._child)
        elif since_start_s >= self._pauses_s[self._failures]:
            self._start_again(self._child)

    def _start_again(self, ended: ChildProcess) -> None:
        self._news.trouble = f"the agent of this machine has ended ({self._why(ended)}); starting it again"
        log.warning(self._news.trouble)
        self._failures += 1
        self.start()

    def _give_up(self, ended: ChildProcess) -> None:
        why = self._why(ended)
        self._news.trouble = (
            f"the agent of this machine can't run, so nothing is measured on it: {why}; "
            f"it was started {self._failures + 1} times; mend this and start loopfront again"
        )
        log.error(self._news.trouble)
        self._child = None

    def _why(self, ended: ChildProcess) -> str:
        code = ended.exit_code
        ended.stop()  # its group too, which may hold the other end of what is relayed
        if code is not None and code < 0:
            return f"killed by signal {-code}"  # before it could say why: its last line is of something else
        said = self._relay.last_line() if self._relay else ""
        return said.removeprefix("agent: ") or f"exit code {code}"

    def stop(self) -> None:
        """Ask it to end and wait; it gives its job back."""
        if self._child is not None:
            self._child.stop()


class _Relay:
    """Shows on our terminal what the agent writes, and remembers the last line."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.writing_end: IO[bytes] = os.fdopen(writing, "wb")
        self._last_line = ""
        self._thread = threading.Thread(target=self._pass_on, args=(reading,), daemon=True)
        self._thread.start()

    def last_line(self) -> str:
        """The last line of an agent that has ended."""
        self._thread.join(RELAY_S)
        return self._last_line

    def _pass_on(self, reading: int) -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._last_line = line.strip() or self._last_line
                with contextlib.suppress(OSError, ValueError):  # our terminal may be gone, the agent is not
                    sys.stderr.write(line)
                    sys.stderr.flush()


def _environment() -> dict[str, str]:
    # ONNX Runtime must find it before its library loads; the agent's children inherit it.
    return {"ORT_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
