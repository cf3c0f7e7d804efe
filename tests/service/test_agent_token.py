"""Agents' tokens and the data folder's secrets: made once, asked for everywhere, shown nowhere."""

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from command_line import COMMAND, loopfront, one_line, port_of, up
from serving import PROTOCOL, HandDrivenAgent, Running, a_service, agent_headers
from waiting import wait_until

from service.errors import StartRefused
from service.secret_files import agent_token_path, keep_secrets, owner_token_path, read_secret

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


def test_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    first = keep_secrets(tmp_path)
    for path, prefix in ((agent_token_path(tmp_path), "lfa_"), (owner_token_path(tmp_path), "lfu_")):
        assert read_secret(path).startswith(prefix)
        path.chmod(0o644)  # as a careless copy leaves it
    assert keep_secrets(tmp_path) == first
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_secret(path) not in repr(first)


@pytest.mark.parametrize("content", ["", "something else", "lfa_short", "lfu_" + 40 * "x"])
def test_a_file_that_holds_no_token_is_named_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    agent_token_path(tmp_path).write_text(content)
    with pytest.raises(StartRefused, match="it holds no token") as refusal:
        keep_secrets(tmp_path)
    assert refusal.value.field == str(agent_token_path(tmp_path))
    assert agent_token_path(tmp_path).read_text() == content


def test_a_database_whose_tokens_another_key_made_is_not_served(tmp_path: Path) -> None:
    with a_service(tmp_path):
        pass
    (tmp_path / "server.key").write_text(64 * "a")
    with pytest.raises(StartRefused, match="another key"), a_service(tmp_path):
        pass


@pytest.mark.parametrize("authorization", ["", "Bearer lfa_" + 43 * "x", "Basic eDp5", "Bearer"])
def test_whoever_shows_no_token_or_a_wrong_one_is_refused_with_the_way_out(
    running: Running, authorization: str
) -> None:
    headers = {**PROTOCOL, **({"Authorization": authorization} if authorization else {})}
    with httpx2.Client(base_url=f"{running.url}/api/v1", headers=headers, trust_env=False) as http:
        for method, path in AGENT_REQUESTS:
            answer = http.request(method, path)
            assert (answer.status_code, answer.json()["code"]) in {
                (401, "not-authorised"),
                (429, "too-many-failures"),
            }, path
            assert answer.json()["hint"]
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


def test_an_agent_enrols_with_a_code_that_counts_once_and_gets_a_token_of_its_own(tmp_path: Path) -> None:
    folder, home = tmp_path / "data", tmp_path / "home"
    home.mkdir()
    none = loopfront("token", "agent", "--data-folder", str(folder))
    assert none.returncode == 1
    assert "loopfront up" in one_line(none.stderr)
    with up(folder):
        url = f"http://127.0.0.1:{port_of(folder)}"
        printed = loopfront("token", "agent", "--data-folder", str(folder))
        assert "loopfront up --host ADDRESS" in printed.stdout, "nobody else reaches 127.0.0.1"
        code = next(word for word in printed.stdout.split() if word.startswith("lfe_"))
        options = ("--server", url, "--folder", str(tmp_path / "agent"), "--token", code)
        with an_agent(home, tmp_path / "agent.log", *options) as agent:
            assert "--token-file" in Path(f"/proc/{agent.pid}/cmdline").read_text()
        (kept,) = (home / ".config" / "loopfront" / "agent-tokens").iterdir()
        token = kept.read_text().strip()
        assert token.startswith("lfa_")
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        with an_agent(home, tmp_path / "again.log", *options[:4]):
            pass  # it knows its token
        other = tmp_path / "other home"
        other.mkdir()
        late = loopfront(
            "agent", *options[:2], "--folder", str(tmp_path / "b"), "--token", code, HOME=str(other)
        )
        assert late.returncode == 2
        assert "was used" in late.stderr
    for log in (tmp_path / "agent.log", tmp_path / "up.log"):
        assert token not in log.read_text()
        assert code not in log.read_text()
    assert token not in kept_by_the_service(folder)


@contextmanager
def an_agent(home: Path, log: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `loopfront agent` as a user with this home, until it has registered and the block ends."""
    with log.open("wb") as written:
        agent = subprocess.Popen(
            [*COMMAND, "agent", *options],
            env={**os.environ, "HOME": str(home)},
            stdout=written,
            stderr=written,
        )
    try:
        wait_until(lambda: "registered as" in log.read_text())
        yield agent
    finally:
        agent.terminate()
        assert agent.wait(20) == 0


def all_command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def kept_by_the_service(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".token", ".key"}]
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
        assert "no token is shown" in away.stderr


def test_the_services_own_agent_gets_its_token_by_file(tmp_path: Path) -> None:
    folder, log = tmp_path / "data", tmp_path / "own.log"
    command = [*COMMAND, "up", "--data-folder", str(folder), "--port", "0"]
    with log.open("wb") as written:
        service = subprocess.Popen(command, stdout=written, stderr=written)
    try:
        wait_until(lambda: "registered as" in log.read_text())
        token = read_secret(agent_token_path(folder))
        assert token not in all_command_lines()
        assert token not in log.read_text()
    finally:
        service.terminate()
        service.wait(30)
        time.sleep(0.1)
