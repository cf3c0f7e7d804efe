"""A real service, real agents and a real runner: paused, killed, restarted, raced for, and under clocks that jump."""

import getpass
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import COMMAND, loopfront, port_of, up
from serving import an_owners_client
from sqlalchemy import select, update
from waiting import wait_until

from devices.runner.build import build_runner
from devices.service_link import PROTOCOL_VERSION
from devices.ssh import offered_host_key
from service.store.blobs import FolderBlobs
from service.store.database import Database, sqlite_url
from service.store.jobs import JobDraft, Jobs
from service.store.rows import AttemptRow, DeviceRow, EvidenceRow, JobRow, MeasurementRow
from tests.devices.sshd import Sshd, a_running_sshd
from tests.devices.test_agent import CANDIDATE, LONG_BLOCKS, SENTINEL, a_plan

ROOT = Path(__file__).parents[2]


@dataclass
class Lab:
    """A data folder whose service may come and go, and its database, which tests write jobs into."""

    folder: Path
    database: Database
    url: str = ""

    def order(self, device: str, blocks: int = 3, count: int = 1) -> list[str]:
        blobs = FolderBlobs(self.folder / "blobs")
        for model in (CANDIDATE, SENTINEL):
            blobs.put(model.graph)
        with self.database.write() as session:
            device_id = session.scalar(select(DeviceRow.id).where(DeviceRow.name == device))
            assert device_id is not None
            drafts = [
                JobDraft(device_id, None, "single", f"{device}-{blocks}-{number}", a_plan(blocks))
                for number in range(count)
            ]
            return [Jobs(session).create(draft).id for draft in drafts]

    def job(self, job_id: str) -> JobRow:
        with self.database.read() as session:
            return Jobs(session).get(job_id)

    def attempts(self, job_id: str) -> list[AttemptRow]:
        with self.database.read() as session:
            return list(Jobs(session).attempts(job_id))

    def are_done(self, *job_ids: str) -> bool:
        return all(self.job(each).state == "done" for each in job_ids)

    def states(self) -> dict[str, str]:
        with an_owners_client(self.url) as client:
            return {device.name: device.state for device in client.devices()}


@contextmanager
def a_lab(tmp_path: Path, *options: str) -> Iterator[tuple[Lab, "subprocess.Popen[bytes]"]]:
    folder = tmp_path / "data"
    with up(folder, 0, *options) as service:
        database = Database(sqlite_url(folder / "loopfront.sqlite"))
        try:
            yield Lab(folder, database, f"http://127.0.0.1:{port_of(folder)}"), service
        finally:
            database.close()


@contextmanager
def an_agent(lab: Lab, place: Path, name: str, *options: str, **environment: str) -> Iterator[Path]:
    """Run `loopfront agent` until the block ends; gives its log."""
    place.mkdir(exist_ok=True)
    log = place / "agent.log"
    build_runner(place / "runner")
    command = [*COMMAND, "agent", "--server", lab.url, "--folder", str(place), "--name", name]
    command += ["--data-folder", str(lab.folder), "--config", str(place / "agent.toml"), *options]
    (place / "agent.toml").touch()
    given = {
        **os.environ,
        "LOOPFRONT_AGENT_IDLE_CORES": "0",
        "LOOPFRONT_AGENT_PATIENCE_S": "0",
        "LOOPFRONT_QUIET_LOCK": str(lab.folder.parent / "quiet.lock"),
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    with log.open("ab") as written:
        process = subprocess.Popen(command, env=given, stdout=written, stderr=written)
    try:
        wait_until(lambda: "registered as" in log.read_text())
        yield log
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def desk(place: Path, server: Sshd, name: str = "desk", host_key: str = "") -> None:
    """Write an agent.toml with one machine over SSH."""
    place.mkdir(exist_ok=True)
    fields = {
        "name": name,
        "host": "127.0.0.1",
        "user": getpass.getuser(),
        "key": str(server.user_key),
        "host_key": host_key or offered_host_key("127.0.0.1", server.port),
        "folder": str(place / name),
    }
    lines = [f'{key} = "{value}"' for key, value in fields.items()]
    (place / "agent.toml").write_text("\n".join(["[[ssh]]", *lines, f"port = {server.port}", ""]))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with a_running_sshd(tmp_path / "sshd") as running:
        yield running


def runners(place: Path) -> list[str]:
    """The processes that run a plan somewhere under a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(str(place).encode()) and word.endswith(b"plan.txt") for word in words):
            found.append(entry.parent.name)
    return found


def stays_quiet(place: Path, seconds: float = 1.5) -> bool:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        if runners(place):
            return False
        time.sleep(0.05)
    return True


def is_timing(place: Path) -> bool:
    plans = [path for path in place.rglob("plan.txt") if "task time" in path.read_text()]
    return bool(plans) and bool(runners(place))


def test_a_pause_stops_the_runner_within_seconds_and_the_job_is_measured_after_the_resume(
    tmp_path: Path,
) -> None:
    with a_lab(tmp_path) as (lab, _), an_agent(lab, tmp_path / "agent", "laptop"):
        (job,) = lab.order("laptop", LONG_BLOCKS)
        wait_until(lambda: is_timing(tmp_path / "agent"))
        assert lab.states() == {"laptop": "measuring"}
        with lab.database.write() as session:  # after the pause, a plan that comes to an end
            session.execute(update(JobRow).values(plan=a_plan()))
        done = loopfront("device", "pause", "laptop", "--reason", "lunch", "--url", lab.url)
        paused_s = time.monotonic()
        assert done.stdout == "laptop: paused: lunch; loopfront device resume laptop\n", done.stderr
        wait_until(lambda: stays_quiet(tmp_path / "agent"), 15)
        assert time.monotonic() - paused_s < 10
        assert (lab.job(job).state, lab.states()) == ("waiting", {"laptop": "paused"})
        assert loopfront("device", "resume", "laptop", "--url", lab.url).returncode == 0
        wait_until(lambda: lab.are_done(job))
        assert [attempt.ended_by for attempt in lab.attempts(job)] == ["paused", "result"]
        assert lab.job(job).outcome == "measured"


def test_a_service_that_is_killed_and_restarted_under_two_working_devices_loses_and_repeats_nothing(
    server: Sshd, tmp_path: Path
) -> None:
    desk(tmp_path / "agent", server)
    with ExitStack() as stack:
        lab, service = stack.enter_context(a_lab(tmp_path))
        log = stack.enter_context(an_agent(lab, tmp_path / "agent", "laptop"))
        wait_until(lambda: set(lab.states()) == {"laptop", "desk"})
        jobs = lab.order("laptop", 2_000, 3) + lab.order("desk", 2_000, 3)
        wait_until(lambda: set(lab.states().values()) == {"measuring"})
        for _ in range(2):
            port = port_of(lab.folder)
            service.send_signal(signal.SIGKILL)
            service.wait()
            time.sleep(2.0)
            service = stack.enter_context(up(lab.folder, port))
            time.sleep(1.0)
        wait_until(lambda: lab.are_done(*jobs), 200)
        assert {lab.job(each).outcome for each in jobs} == {"measured"}
        # A lease that was granted in the moment of the kill never reached anyone: it expires, nobody measured.
        ended = [attempt.ended_by for each in jobs for attempt in lab.attempts(each)]
        assert ended.count("result") == log.read_text().count("leased with token") == 6, ended
        with lab.database.read() as session:
            assert len(session.scalars(select(MeasurementRow)).all()) == 6
            assert session.scalars(select(EvidenceRow)).all() == []


@pytest.mark.slow
def test_two_agents_that_reach_the_same_machine_measure_each_job_once(server: Sshd, tmp_path: Path) -> None:
    for place in ("one", "two"):
        desk(tmp_path / place, server)
    with a_lab(tmp_path) as (lab, _), ExitStack() as stack:
        for place in ("one", "two"):
            stack.enter_context(an_agent(lab, tmp_path / place, place))
            wait_until(lambda: "desk" in lab.states())
        jobs = lab.order("desk", 300, 6)
        wait_until(lambda: lab.are_done(*jobs), 200)
        ended = [[each.outcome for each in lab.attempts(job) if each.ended_by == "result"] for job in jobs]
        assert ended == [["measured"]] * 6


def test_a_device_with_three_faults_is_quarantined_until_the_doctor_has_passed(
    server: Sshd, tmp_path: Path
) -> None:
    place = tmp_path / "agent"
    desk(place, server)
    doctor = ("agent", "doctor", "--config", str(place / "agent.toml"), "--folder", str(place))
    doctor += ("--data-folder", str(tmp_path / "data"))
    with a_lab(tmp_path) as (lab, _), an_agent(lab, place, "laptop"):
        wait_until(lambda: "desk" in lab.states())
        wait_until((place / "desk" / "runner").exists)
        (job,) = lab.order("desk")
        (place / "desk" / "pools").mkdir(exist_ok=True)
        shutil.rmtree(place / "desk" / "library")  # so that the runner can't load it
        wait_until(lambda: _hurried(lab, job).states()["desk"] == "quarantined", 90)
        assert [attempt.ended_by for attempt in lab.attempts(job)] == ["result"] * 3
        assert lab.job(job).state == "waiting"
        listed = loopfront("device", "list", "--url", lab.url)
        assert "desk: quarantined: 3 faults in a row" in listed.stdout
        assert "on the lab host: loopfront agent doctor" in listed.stdout
        server.stop()
        ill = loopfront(*doctor)
        assert ill.returncode == 1
        assert lab.states()["desk"] == "quarantined"
        assert "last examined: failed" in loopfront("device", "list", "--url", lab.url).stdout
        server.start()
        well = loopfront(*doctor)
        assert "desk leaves its quarantine" in well.stdout, well.stdout + well.stderr
        wait_until(lambda: lab.are_done(job))
        assert lab.job(job).outcome == "measured"


def _hurried(lab: Lab, job_id: str) -> Lab:
    """Let a job's back-off pass at once."""
    with lab.database.write() as session:
        job = Jobs(session).get(job_id)
        job.not_before = job.created_at
    return lab


@pytest.mark.slow
def test_another_host_key_quarantines_the_machine_and_pinning_it_and_the_doctor_free_it(
    server: Sshd, tmp_path: Path
) -> None:
    place = tmp_path / "agent"
    desk(place, server)
    with a_lab(tmp_path) as (lab, _):
        with an_agent(lab, place, "laptop"):
            wait_until(lambda: lab.states().get("desk") == "idle")
            server.stop()
            server.make_host_key()
            server.start()
            wait_until(lambda: lab.states()["desk"] == "quarantined")
            listed = loopfront("device", "list", "--url", lab.url).stdout
            assert "another machine answers" in listed
        desk(place, server)  # pinned anew by someone who knows why
        with an_agent(lab, place, "laptop"):
            time.sleep(3.0)
            assert lab.states()["desk"] == "quarantined"
            where = ("--config", str(place / "agent.toml"), "--folder", str(place))
            done = loopfront("agent", "doctor", *where, "--data-folder", str(lab.folder))
            assert "desk leaves its quarantine" in done.stdout, done.stdout + done.stderr
            wait_until(lambda: lab.states()["desk"] == "idle")


@contextmanager
def a_clock_that_can_be_set(tmp_path: Path) -> Iterator[Path]:
    """Whatever starts inside the block has a wall clock that is shifted by the seconds in the file that it gives."""
    library, clock = tmp_path / "shifted_clock.so", tmp_path / "clock"
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine: `apt-get install gcc` lets this test run")
    source = Path(__file__).with_name("shifted_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    clock.write_text("0")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LD_PRELOAD", str(library))
        environment.setenv("CLOCK_SHIFT_FILE", str(clock))
        said = subprocess.run(["date", "+%s"], capture_output=True, text=True, check=True)
        clock.write_text("1000000")
        later = subprocess.run(["date", "+%s"], capture_output=True, text=True, check=True)
        clock.write_text("0")
        assert 999_000 < int(later.stdout) - int(said.stdout) < 1_001_000
        yield clock


@pytest.mark.parametrize("jump", [pytest.param("10800", marks=pytest.mark.slow), "-10800"])
def test_a_service_whose_clock_jumps_keeps_its_leases_and_measures_nothing_twice(
    tmp_path: Path, jump: str
) -> None:
    with ExitStack() as stack:
        with a_clock_that_can_be_set(tmp_path) as clock:
            lab, _ = stack.enter_context(a_lab(tmp_path))
        stack.enter_context(an_agent(lab, tmp_path / "agent", "laptop"))
        jobs = lab.order("laptop", 6_000, 2)
        wait_until(lambda: is_timing(tmp_path / "agent"))
        clock.write_text(jump)
        wait_until(lambda: lab.are_done(*jobs), 200)
        assert [[attempt.ended_by for attempt in lab.attempts(each)] for each in jobs] == [["result"]] * 2
        late = lab.order("laptop", 3, 1)
        wait_until(lambda: lab.are_done(*late))
        assert lab.states() == {"laptop": "idle"}


@pytest.mark.slow
def test_a_measurement_that_is_under_way_when_its_owners_hours_end_is_finished_and_no_other_begun(
    tmp_path: Path,
) -> None:
    now = time.localtime()
    start, end = (now.tm_hour - 1) % 24, (now.tm_hour + 2) % 24
    place = tmp_path / "agent"
    place.mkdir()
    (place / "agent.toml").write_text(f'[own]\nallowed_hours = ["{start:02d}:00-{end:02d}:00"]\n')
    with ExitStack() as stack:
        lab, _ = stack.enter_context(a_lab(tmp_path))
        with a_clock_that_can_be_set(tmp_path) as clock:
            stack.enter_context(an_agent(lab, place, "laptop"))
        jobs = lab.order("laptop", 6_000)
        wait_until(lambda: is_timing(place))
        clock.write_text(str(5 * 3600))
        time.sleep(2.0)  # so that the agent has seen it
        jobs += lab.order("laptop", 30)
        wait_until(lambda: lab.states() == {"laptop": "resting"})
        assert [lab.job(each).outcome for each in jobs] == ["measured", ""]
        with an_owners_client(lab.url) as client:
            assert client.devices()[0].reason == f"allowed from {start:02d}:00"
        clock.write_text("0")
        wait_until(lambda: lab.are_done(*jobs))


@pytest.mark.slow
def test_an_agent_whose_clock_jumps_keeps_its_lease(tmp_path: Path) -> None:
    with ExitStack() as stack:
        lab, _ = stack.enter_context(a_lab(tmp_path))
        with a_clock_that_can_be_set(tmp_path) as clock:
            stack.enter_context(an_agent(lab, tmp_path / "agent", "laptop"))
        jobs = lab.order("laptop", 6_000, 2)
        wait_until(lambda: is_timing(tmp_path / "agent"))
        for jump in ("108000", "-108000"):
            clock.write_text(jump)
            time.sleep(1.0)
        wait_until(lambda: lab.are_done(*jobs), 200)
        assert [[attempt.ended_by for attempt in lab.attempts(each)] for each in jobs] == [["result"]] * 2


@pytest.mark.parametrize(
    ("protocol", "way_out"),
    [("1", "on the agent's machine: pip install 'loopfront=="), ("999", "upgrade the service: pip install")],
)
def test_an_agent_of_another_protocol_is_told_what_to_install(
    tmp_path: Path, protocol: str, way_out: str
) -> None:
    """A copy of the agent that speaks another protocol meets the real service."""
    shutil.copytree(ROOT / "devices", tmp_path / "other" / "devices")
    source = tmp_path / "other" / "devices" / "service_link.py"
    source.write_text(
        source.read_text().replace(
            f'PROTOCOL_VERSION = "{PROTOCOL_VERSION}"', f'PROTOCOL_VERSION = "{protocol}"'
        )
    )
    with a_lab(tmp_path) as (lab, _):
        command = [
            sys.executable,
            "-m",
            "devices.agent",
            "--server",
            lab.url,
            "--folder",
            str(tmp_path / "a"),
        ]
        command += ["--token-file", str(lab.folder / "agent.token")]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "other")}
        ended = subprocess.run(
            command,
            env=environment,
            cwd=tmp_path / "other",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, lab.states()) == (2, {})
    assert way_out in ended.stderr
    assert f"the agent {protocol}" in ended.stderr
    assert "Traceback" not in ended.stderr
