"""What every test shares: no telemetry of ONNX Runtime, phones left alone, and a Ctrl-C that programs hear."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.chromium import a_chromium
from tests.postgresql import PostgresqlServer, a_postgresql, trouble

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["LOOPFRONT_AGENT_PHONES"] = "0"  # no test may start, or find, the adb server of whoever runs it
# Run in the background by a shell, Python ignores Ctrl-C, and so does every program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A real browser that the tests of one process share."""
    with a_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A real server that the tests of one process share, each with a database of its own."""
    if reason := trouble():
        pytest.skip(reason)
    with a_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def every_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test on each database that is supported: whatever reads the settings finds it there."""
    yield from _a_database(request)


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def every_database_once(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same for the tests of a module that share what was made there."""
    yield from _a_database(request)


def _a_database(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield "sqlite"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    url = server.a_database()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOPFRONT_DATABASE_URL", url)
        yield "postgresql"
    server.drop(url)
