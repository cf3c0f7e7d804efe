"""One study while everything is killed with 9 at random moments: it ends with exactly its trials, nothing lost.

The service, a worker, an agent and PostgreSQL are real processes; the device is simulated, and fast, and says so.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from command_line import COMMAND
from serving import SMALL_STUDY, an_owners_client, know_tokens
from simulated_agent import NAME
from waiting import wait_until

from devices.service_link import LEASES_PER_DEVICE
from service.data_folder import find_running
from service.errors import ServiceError
from service.secret_files import agent_token_path
from service.store.database import Database
from service.store.rows import AttemptRow, JobRow, MeasurementRow, TrialRow
from tests.postgresql import PostgresqlServer, a_postgresql, trouble

SEED = 20
PAUSES_S = (0.5, 3.0)
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Crew:
    """All the processes of one service, each of which may be killed and is started again."""

    folder: Path
    server: PostgresqlServer
    database_url: str
    port: int = 0
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, name: str) -> None:
        data = str(self.folder / "data")
        commands = {
            "service": [
                *COMMAND,
                "up",
                "--no-agent",
                "--no-search",
                "--data-folder",
                data,
                "--port",
                str(self.port),
            ],
            "worker": [*COMMAND, "worker", "--data-folder", data],
            "agent": [
                sys.executable,
                str(Path(__file__).with_name("simulated_agent.py")),
                "--server",
                self.url,
                "--token-file",
                str(agent_token_path(self.folder / "data")),
                "--folder",
                str(self.folder / "agent"),
            ],
        }
        environment = {
            **os.environ,
            "LOOPFRONT_DATABASE_URL": self.database_url,
            "LOOPFRONT_LEAD_SECONDS": "2",
            "LOOPFRONT_LEASE_SECONDS": "3",
            "LOOPFRONT_HEARTBEAT_SECONDS": "0.5",
            "LOOPFRONT_SIMULATED_SPEED": "40",
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                commands[name], stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def begin(self) -> None:
        """Start all, once the service has found a port that it keeps."""
        self.start("service")
        wait_until(lambda: find_running(self.folder / "data", 0) is not None)
        running = find_running(self.folder / "data", 0)
        assert running is not None
        self.port = running.port
        know_tokens(self.url, self.folder / "data")
        self.start("worker")
        self.start("agent")

    def kill(self, name: str) -> None:
        """Kill with 9, and start again."""
        self.kills[name] += 1
        if name == "postgresql":
            self.server.kill()
            time.sleep(0.5)
            self.server.start()
            return
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()
        self.start(name)

    def end(self) -> None:
        for process in self.processes.values():
            with_group = process.poll() is None
            if with_group:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def is_over(self) -> bool:
        try:
            with an_owners_client(self.url) as client:
                return client.study("small").state in {"finished", "failed"}
        except ServiceError:
            return False  # just killed


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    if reason := trouble():
        pytest.skip(reason)
    with a_postgresql() as server:
        crew = Crew(tmp_path, server, server.a_database())
        try:
            crew.begin()
            yield crew
        finally:
            crew.end()


@pytest.mark.parametrize(
    ("trials", "kills"), [(10, 5), pytest.param(200, 50, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])]
)
def test_a_study_survives_whatever_is_killed(crew: Crew, trials: int, kills: int) -> None:
    document = SMALL_STUDY.format(name="small", trials=trials).replace("device: local", f"device: {NAME}")
    with an_owners_client(crew.url) as client:
        wait_until(lambda: NAME in {device.name for device in client.devices()})
        client.submit_study(document)
    chance = random.Random(SEED)
    # Evenly over the study's trials, each at a random moment.
    for number in range(kills):
        wait_until(has_ended(crew, number * trials // kills), 600)
        time.sleep(chance.uniform(*PAUSES_S))
        crew.kill(chance.choice(("service", "worker", "agent", "postgresql")))
    wait_until(crew.is_over, 600)
    assert sum(crew.kills.values()) == kills
    assert_nothing_was_lost(crew.database_url, trials)


def has_ended(crew: Crew, count: int) -> Callable[[], bool]:
    """Say whether so many trials have ended; False while nobody can tell."""

    def look() -> bool:
        try:
            with an_owners_client(crew.url) as client:
                return client.studies()[0].trials_done >= count
        except ServiceError:
            return False

    return look


def assert_nothing_was_lost(url: str, wanted: int) -> None:
    database = Database(url)
    with database.read() as session:
        trials = session.query(TrialRow).order_by(TrialRow.number).all()
        jobs = {row.id: row for row in session.query(JobRow)}
        attempts = session.query(AttemptRow).order_by(AttemptRow.granted_at).all()
        measured = session.query(MeasurementRow).all()
    database.close()
    assert [trial.number for trial in trials] == list(range(1, len(trials) + 1))
    assert sum(trial.kind != "reference" for trial in trials) == wanted
    assert {trial.state for trial in trials} == {"measured"}
    # Every job that was answered was answered once, and its answer is kept.
    done = [job for job in jobs.values() if job.state == "done"]
    assert len({row.job_id for row in measured}) == len(measured) == len(done)
    counted = [each for each in attempts if each.ended_by == "result"]
    assert len({each.job_id for each in counted}) == len(counted) == len(done)
    # No job was under lease twice at a time, and its device never had more than it may.
    for job_id in jobs:
        own = [each for each in attempts if each.job_id == job_id]
        for before, after in pairwise(own):
            assert before.ended_at is not None
            assert before.ended_at <= after.granted_at, job_id
    for each in attempts:
        at_once = [
            other
            for other in attempts
            if other.granted_at <= each.granted_at
            and (other.ended_at is None or other.ended_at > each.granted_at)
        ]
        assert len(at_once) <= LEASES_PER_DEVICE
