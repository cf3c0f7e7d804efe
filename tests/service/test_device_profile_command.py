"""`loopfront device profile` as its user types it: measured, shown, written, interrupted and taken up again."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from command_line import COMMAND, loopfront, one_line, token_for
from profiling import LawfulWorker
from serving import Running, a_service
from waiting import wait_until

from reports.encoding import profile_from_dict
from service.local_agent import LocalAgent
from service.store.profiles import Profiles

SIZE = ("--width", "128", "--prompt-tokens", "32", "--contexts", "256,512,1024", "--shapes", "none")
TWO = ("--mixers", "short_conv,grouped_query_attention")
DEVICE = "simulated-laptop"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path, with_loop=True) as service:
        yield service


def command(running: Running, *options: str) -> tuple[str, ...]:
    return ("device", "profile", DEVICE, *SIZE, "--url", running.url, *options)


def states(running: Running) -> list[str]:
    with running.parts.database.read() as session:
        return [
            row.state
            for device in Profiles(session).devices_with_one()
            for row in Profiles(session).of_device(device)
        ]


def test_a_profile_is_measured_shown_written_and_served(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "profile.html"
    with LawfulWorker(running.url) as worker:
        done = loopfront(*command(running, "--html", str(file)), COLUMNS="80", timeout_s=250)
        assert done.returncode == 0, done.stderr
        text, words = done.stdout, " ".join(done.stdout.split())
        assert "memory read by 1 thread: 10.0 GB/s at best, 9.0 GB/s in the median of 3" in text
        assert re.search(
            r"A grouped query( attention)?\s+×0\.800 ±\s\d+\s%\s+×2\.00 ±.*×8\.00 ±.*×64\.0 ±", text
        )
        assert (
            "Grouped-query attention is the dearest mixer in decode at 512 tokens (8.00 short convs)" in words
        )
        assert max(len(line) for line in text.splitlines()) <= 80
        assert "short conv × 6: measured in" in done.stderr
        assert "profile-data" in file.read_text() or "report-data" in file.read_text()
        measured = len(worker.jobs)
        again = loopfront(*command(running, "--json"), timeout_s=60)
        assert len(worker.jobs) == measured, "it was there"
        answer = json.loads(again.stdout)
        assert (answer["state"], answer["entries_done"], answer["page"]) == (
            "done",
            11,
            f"/devices/{DEVICE}/profile",
        )
        assert len(profile_from_dict(answer["report"]).mixers) == 5
        assert again.stderr == ""
    with httpx2.Client(base_url=running.url, headers=running.owner_headers, trust_env=False) as http:
        page = http.get(f"/devices/{DEVICE}/profile")
        assert page.status_code == 200
        assert "×64.0" in page.text
        assert f'href="/devices/{DEVICE}/profile"' in http.get("/").text
        assert http.get("/devices/nobody/profile").status_code == 404


def test_interrupting_the_command_stops_its_profile_and_the_next_run_goes_on(running: Running) -> None:
    with LawfulWorker(running.url, pause_s=0.5) as worker:
        asking = [*COMMAND, *command(running, *TWO)]
        environment = {**os.environ, **token_for(asking)}
        with subprocess.Popen(
            asking, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as asked:
            wait_until(lambda: len(worker.jobs) >= 4)
            asked.send_signal(signal.SIGINT)
            _, errors = asked.communicate(timeout=60)
        assert "Traceback" not in errors
        assert asked.returncode == 130
        assert states(running) == ["cancelled"]
        before = set(worker.jobs)
        done = loopfront(*command(running, *TWO), timeout_s=250)
        assert done.returncode == 0, done.stderr
        assert "known" in done.stderr
        assert len(set(worker.jobs) - before) <= 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--contexts", "512,a"), "--contexts: '512,a' can't be used"),
        (("--width", "100"), "--width: 100 can't be used"),
        (("--html", "/no/such/folder/x.html"), "there is no folder /no/such/folder"),
        (("--shapes", "lfm2-350M"), "shapes: 'lfm2-350M' can't be used; known are lfm2-350m"),
    ],
)
def test_a_mistake_is_one_line_and_measures_nothing(
    running: Running, options: tuple[str, ...], words: str
) -> None:
    LawfulWorker(running.url).agent.close()
    done = loopfront(*command(running, *options))
    assert done.returncode == 2
    assert words in one_line(done.stderr)
    assert states(running) == []


def test_a_device_that_nobody_knows_is_one_line(running: Running) -> None:
    done = loopfront("device", "profile", "nobody", "--url", running.url)
    assert done.returncode == 2
    assert "no device answers to 'nobody'" in one_line(done.stderr)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_real_device_is_profiled_by_its_real_agent_and_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPFRONT_AGENT_IDLE_CORES", "0")
    with a_service(tmp_path, with_loop=True) as running:
        agent = LocalAgent(running.parts.settings, running.url)
        agent.start()
        try:
            wait_until(
                lambda: '"local"' in loopfront("device", "list", "--url", running.url, "--json").stdout
            )
            size = (
                "--width",
                "512",
                "--prompt-tokens",
                "64",
                "--contexts",
                "512,4096",
                "--shapes",
                "gemma-3-270m",
            )
            done = loopfront(
                "device", "profile", "local", *size, "--url", running.url, "--json", timeout_s=1400
            )
        finally:
            agent.stop()
    assert done.returncode == 0, done.stderr
    report = profile_from_dict(json.loads(done.stdout)["report"])
    assert {entry.state for entry in report.entries} == {"done"}, report.entries
    attention = next(row for row in report.mixers if row.code == "A")
    shallow, deep = attention.costs[1].milliseconds, attention.costs[2].milliseconds
    assert shallow is not None
    assert deep is not None
    assert deep.value > shallow.value, "eight times the cache is read"
    (shape,) = report.shapes
    assert shape.decode_per_second is not None
    assert shape.bandwidth_share is not None
    assert 0 < shape.bandwidth_share.value < 1.5


def test_the_memory_of_a_real_device_is_read_by_its_real_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPFRONT_AGENT_IDLE_CORES", "0")
    with a_service(tmp_path, with_loop=True) as running, running.client() as client:
        agent = LocalAgent(running.parts.settings, running.url)
        agent.start()
        try:
            wait_until(lambda: bool(client.devices()))
            wish = {"mixers": [], "shapes": []}
            with httpx2.Client(base_url=running.url, headers=running.owner_headers, trust_env=False) as http:
                begun = http.post("/api/v1/devices/local/profile", json=wish).json()
            wait_until(lambda: client.profile(begun["id"]).state != "running", timeout_s=120)
        finally:
            agent.stop()
        found = client.profile(begun["id"])
    assert found.state == "done", found.detail
    rows = profile_from_dict(found.report).bandwidth
    assert [row.threads for row in rows] == sorted({1, os.cpu_count() or 1})
    assert all(1e8 < row.median <= row.best < 1e13 for row in rows), rows
    assert all(row.readings == 21 for row in rows)


def test_the_command_does_not_load_torch() -> None:
    code = "import sys, service.commands.device_profile, reports.profile_terminal; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
