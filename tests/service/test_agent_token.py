"""The agent token: made once, asked for everywhere, shown nowhere."""

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from command_line import COMMAND, loopfront, one_line, port_of, up
from serving import PROTOCOL, HandDrivenAgent, Running, a_service, agent_headers
from waiting import wait_until

from service.agent_token import agent_token_path, keep_agent_token, read_agent_token
from service.errors import StartRefused

AGENT_REQUESTS = [
    ("GET", "/agents/hello"),
    ("POST", "/agents"),
    ("POST", "/agents/x/lease"),
    ("PUT", "/agents/x/stations"),
    ("POST", "/jobs/x/heartbeat"),
    ("POST", "/jobs/x/result"),
    ("POST", "/jobs/x/release"),
    ("POST", "/examinations"),
    ("GET", "/blobs/" + 64 * "0"),
]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path) as running:
        yield running


def test_the_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = keep_agent_token(tmp_path)
    path = agent_token_path(tmp_path)
    token = read_agent_token(tmp_path)
    assert token.startswith("lfa_")
    assert len(token) > 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)  # as a careless copy leaves it
    assert keep_agent_token(tmp_path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.is_shown_by(f"Bearer {token}")
    for wrong in ("", token, f"Basic {token}", f"Bearer {token}x", f"Bearer {token[:-1]}", "Bearer é"):
        assert not first.is_shown_by(wrong), wrong
    assert token not in repr(first)


@pytest.mark.parametrize("content", ["", "something else", "lfa_short"])
def test_a_file_that_holds_no_token_is_named_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    agent_token_path(tmp_path).write_text(content)
    with pytest.raises(StartRefused, match="it holds no agent token") as refusal:
        keep_agent_token(tmp_path)
    assert refusal.value.field == str(agent_token_path(tmp_path))
    assert agent_token_path(tmp_path).read_text() == content


@pytest.mark.parametrize("authorization", ["", "Bearer lfa_" + 43 * "x", "Basic eDp5", "Bearer"])
def test_whoever_shows_no_token_or_a_wrong_one_is_refused_with_the_way_out(
    running: Running, authorization: str
) -> None:
    headers = {**PROTOCOL, **({"Authorization": authorization} if authorization else {})}
    with httpx2.Client(base_url=f"{running.url}/api/v1", headers=headers, trust_env=False) as http:
        for method, path in AGENT_REQUESTS:
            answer = http.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (401, "agent-token"), path
            assert "`loopfront token agent`" in answer.json()["hint"]
            assert "xxxx" not in answer.text


def test_every_request_that_an_agent_makes_asks_for_the_protocol_first(running: Running) -> None:
    with httpx2.Client(base_url=f"{running.url}/api/v1", trust_env=False) as http:
        for method, path in AGENT_REQUESTS:
            assert http.request(method, path).status_code == 426, path


def test_with_the_token_an_agent_is_welcome(running: Running) -> None:
    HandDrivenAgent(running.url).close()
    answer = httpx2.get(
        f"{running.url}/api/v1/agents/hello", headers=agent_headers(running.url), trust_env=False
    )
    assert answer.json()["protocol"] == PROTOCOL["Loopfront-Protocol"]


def test_the_token_is_printed_with_the_command_for_the_other_machine(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    none = loopfront("token", "agent", "--data-folder", str(folder))
    assert none.returncode == 1
    assert "start the service once" in one_line(none.stderr)
    with up(folder):
        done = loopfront("token", "agent", "--data-folder", str(folder))
    token = read_agent_token(folder)
    assert done.stdout.splitlines()[0] == token
    assert f"--token {token}" in done.stdout
    assert "loopfront up --host ADDRESS" in done.stdout, "nobody else reaches 127.0.0.1"


def all_command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def test_a_token_that_was_typed_is_kept_in_a_file_and_stands_in_no_command_line_or_log(
    tmp_path: Path,
) -> None:
    folder, home = tmp_path / "data", tmp_path / "home"
    home.mkdir()
    with up(folder):
        token, url = read_agent_token(folder), f"http://127.0.0.1:{port_of(folder)}"
        log = tmp_path / "agent.log"
        command = [*COMMAND, "agent", "--server", url, "--folder", str(tmp_path / "agent"), "--token", token]
        with log.open("wb") as written:
            agent = subprocess.Popen(
                command, env={**os.environ, "HOME": str(home)}, stdout=written, stderr=written
            )
        try:
            wait_until(lambda: "registered as" in log.read_text())
            lines = all_command_lines()
            assert "--token-file" in Path(f"/proc/{agent.pid}/cmdline").read_text()
            assert token not in lines
        finally:
            agent.terminate()
            assert agent.wait(20) == 0
    (kept,) = (home / ".config" / "loopfront" / "agent-tokens").iterdir()
    assert kept.read_text().strip() == token
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    for written_log in (log, tmp_path / "up.log"):
        assert token not in written_log.read_text()
    assert token not in kept_by_the_service(folder)


def kept_by_the_service(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "agent.token"]
    return "".join(path.read_bytes().decode(errors="replace") for path in files)


def test_on_the_services_own_machine_an_agent_finds_the_token_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with up(folder):
        url = f"http://127.0.0.1:{port_of(folder)}"
        found = ("--server", url, "--folder", str(tmp_path / "agent"), "--data-folder", str(folder))
        log = tmp_path / "agent.log"
        with log.open("wb") as written:
            agent = subprocess.Popen([*COMMAND, "agent", *found], stdout=written, stderr=written)
        try:
            wait_until(lambda: "registered as" in log.read_text())
        finally:
            agent.terminate()
            agent.wait(20)
        away = loopfront("agent", "--server", url, "--folder", str(tmp_path / "other"), HOME=str(tmp_path))
        assert away.returncode == 2
        assert "the agent shows no token" in away.stderr
        assert "`loopfront token agent` on the service's machine" in away.stderr


def test_the_services_own_agent_gets_its_token_by_file(tmp_path: Path) -> None:
    folder, log = tmp_path / "data", tmp_path / "own.log"
    command = [*COMMAND, "up", "--data-folder", str(folder), "--port", "0"]
    with log.open("wb") as written:
        service = subprocess.Popen(command, stdout=written, stderr=written)
    try:
        wait_until(lambda: "registered as" in log.read_text())
        token = read_agent_token(folder)
        assert token not in all_command_lines()
        assert token not in log.read_text()
    finally:
        service.terminate()
        service.wait(30)
        time.sleep(0.1)
