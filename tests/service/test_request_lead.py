"""One architecture measured by itself, and a wish for it that is withdrawn."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from command_line import token_for
from serving import HandDrivenAgent, Running, SimulatedWorker, a_service
from waiting import wait_until

from service.api.schemas import MeasurementWish
from service.store.jobs import Jobs
from service.store.requests import MeasurementRequests

WISH = MeasurementWish(layout="CCACCA", parameters=6_000_000, vocabulary=8192)


def test_a_withdrawn_wish_is_not_measured(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        with SimulatedWorker(running.url):
            first = client.measure(WISH)
            wait_until(lambda: client.measurement(first.id).state == "done")
        second = client.measure(WISH.model_copy(update={"fresh": True}))
        wait_until(lambda: client.measurement(second.id).state == "running")
        cancelled = client.cancel_measurement(second.id)
        assert (cancelled.state, cancelled.detail) == ("cancelled", "cancelled by a user")
        assert client.cancel_measurement(first.id).state == "done", "it had ended"
        with running.parts.database.read() as session:
            request = MeasurementRequests(session).get(second.id)
            assert Jobs(session).get(request.job_id or "").state == "cancelled"


def open_requests(running: Running) -> list[str]:
    with running.parts.database.read() as session:
        return [row.id for row in MeasurementRequests(session).open()]


def test_interrupting_the_command_withdraws_its_wish(tmp_path: Path) -> None:
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        HandDrivenAgent(running.url).close()
        command = [sys.executable, "-m", "service.cli", "arch", "measure", "CCACCA", "--url", running.url]
        environment = {**os.environ, **token_for(command)}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as asked:
            wait_until(lambda: bool(open_requests(running)))
            request_id = open_requests(running)[0]
            time.sleep(2)  # until the command itself knows what it asked for
            asked.send_signal(signal.SIGINT)
            _, errors = asked.communicate(timeout=30)
        assert "Traceback" not in errors
        assert asked.returncode == 130
        assert client.measurement(request_id).state == "cancelled"
