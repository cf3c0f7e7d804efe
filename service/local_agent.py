"""The agent of the service's own machine, kept running as a child process."""

import os
import sys
import time
from pathlib import Path

import structlog

from devices.errors import BuildError, RuntimeLibraryError
from devices.runner.build import build_runner
from devices.runtime_library import installed_runtime
from service.child_process import ChildProcess
from service.errors import StartRefused
from service.settings import Settings

RESTART_PAUSES_S = (0.5, 2.0, 5.0, 15.0)
HEALTHY_AFTER_S = 60.0

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
    """Starts the agent and starts it again when it ends by itself."""

    def __init__(self, settings: Settings, service_url: str) -> None:
        self._settings = settings
        self._url = service_url
        self._child: ChildProcess | None = None
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
        arguments = ["--server", self._url, "--folder", str(folder)]
        self._child = ChildProcess("devices.agent", arguments, _environment())
        self._started_at = time.monotonic()

    def restart_if_ended(self) -> None:
        """Start it again after a pause that grows while it keeps ending."""
        if self._child is None or self._child.exit_code is None:
            return
        lived_s = time.monotonic() - self._started_at
        self._failures = 0 if lived_s > HEALTHY_AFTER_S else self._failures
        pause_s = RESTART_PAUSES_S[min(self._failures, len(RESTART_PAUSES_S) - 1)]
        if lived_s < pause_s:
            return
        log.warning("the agent ended; starting it again", exit_code=self._child.exit_code)
        self._child.stop()
        self._failures += 1
        self.start()

    def stop(self) -> None:
        """Ask it to end and wait; it gives its job back."""
        if self._child is not None:
            self._child.stop()


def _environment() -> dict[str, str]:
    # ONNX Runtime must find it before its library loads; the agent's children inherit it.
    return {"ORT_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
