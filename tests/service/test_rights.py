"""Who may do what, over real HTTP on every database: scopes, sessions, links, agents' bounds, limits and the audit."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from command_line import loopfront, one_line, port_of, up
from fastapi.routing import APIRoute
from serving import PROTOCOL, HandDrivenAgent, Running, a_service, a_small_study, as_owner, owner_of
from sqlalchemy import text

from service.api.schemas import TokenGiven
from service.app import create_app
from service.client import Client
from service.errors import ServiceError
from service.gatekeeper import FAILURES
from service.token_text import TokenKind, kind_of, new_token

OPEN = {"healthz", "readyz", "read_version", "enrol", "login_page", "login", "logout"}
"""What may be asked without a token: whether it works, and how to get one."""


@pytest.fixture
def running(every_database: str, tmp_path: Path) -> Iterator[Running]:
    with a_service(tmp_path) as running:
        yield running


def a_token(running: Running, *scopes: str, days: float | None = 1.0) -> str:
    with running.client() as client:
        given = TokenGiven.model_validate({"name": "-".join(scopes), "scopes": list(scopes), "days": days})
        return client.create_token(given).token


def test_every_endpoint_but_a_few_asks_for_a_right(tmp_path: Path) -> None:
    with a_service(tmp_path) as running:
        app = create_app(running.parts)
        with httpx2.Client(base_url=running.url, headers=PROTOCOL, trust_env=False) as http:
            for route in app.routes:
                if not isinstance(route, APIRoute) or route.name in OPEN:
                    continue
                path = route.path.replace("{number}", "1").replace("{", "").replace("}", "")
                for method in route.methods:
                    answer = http.request(method, path, follow_redirects=False)
                    is_sent_to_login = answer.status_code == 303 and "/login" in answer.headers["location"]
                    assert answer.status_code in {401, 429} or is_sent_to_login, (method, path, answer.text)


def test_a_token_has_a_checksum_so_that_a_mistyped_one_is_told_apart() -> None:
    token = new_token(TokenKind.USER)
    assert kind_of(token) is TokenKind.USER
    assert len({new_token(TokenKind.AGENT) for _ in range(100)}) == 100
    for wrong in (token[:-1], f"{token}0", token.swapcase(), token.replace("lfu_", "lfa_"), "", "é"):
        assert kind_of(wrong) is None, wrong


@pytest.mark.parametrize(
    ("scope", "submits", "pauses", "administers"),
    [
        ("viewer", 403, 403, 403),
        ("submitter", 201, 403, 403),
        ("device-owner", 403, 200, 403),
        ("admin", 201, 200, 200),
    ],
)
def test_scopes_allow_what_they_say(
    running: Running, scope: str, submits: int, pauses: int, administers: int
) -> None:
    HandDrivenAgent(running.url).close()
    headers = {"Authorization": f"Bearer {a_token(running, scope)}"}
    with httpx2.Client(base_url=f"{running.url}/api/v1", headers=headers, trust_env=False) as http:
        assert http.get("/studies").status_code == 200
        assert http.get("/whoami").json()["scopes"] == [scope]
        assert http.post("/studies", content=a_small_study().encode()).status_code == submits
        assert http.post("/devices/simulated-laptop/pause", json={}).status_code == pauses
        assert http.get("/tokens").status_code == administers
        assert http.get("/audit").status_code == administers
        refused = http.post("/agents/x/lease", json={"device_ids": ["x"]}, headers=PROTOCOL)
        assert refused.status_code == 403, "no user does an agent's work"


def test_what_is_stored_is_neither_the_token_nor_a_plain_hash_of_it(running: Running) -> None:
    import hashlib

    token = a_token(running, "viewer")
    with running.parts.database.read() as session:
        stored = " ".join(str(row) for row in session.execute(text("SELECT * FROM tokens")))
    assert token not in stored
    assert hashlib.sha256(token.encode()).hexdigest() not in stored


def test_a_revoked_token_ends_at_once_and_its_sessions_with_it(running: Running) -> None:
    token = a_token(running, "viewer")
    with (
        Client(running.url, token) as client,
        httpx2.Client(base_url=running.url, trust_env=False) as browser,
    ):
        client.studies()
        assert browser.post("/login", data={"token": token}).status_code == 303
        assert browser.get("/").status_code == 200
        with running.client() as owner:
            token_id = next(each.id for each in owner.tokens() if each.name == "viewer")
            assert owner.tokens()[-1].last_used_at is not None
            owner.revoke_token(token_id)
        with pytest.raises(ServiceError) as refusal:
            client.studies()
        assert refusal.value.status == 401
        assert browser.get("/", follow_redirects=False).status_code in {200, 303}


def test_what_stands_for_a_user_ends_with_the_token_and_a_token_for_somebody_else_lives_on(
    running: Running,
) -> None:
    boss = a_token(running, "admin")
    given = TokenGiven.model_validate({"name": "ci", "scopes": ["viewer"], "days": None})
    with Client(running.url, boss) as client, httpx2.Client(base_url=running.url, trust_env=False) as first:
        ci = client.create_token(given).token
        first.post("/login", data={"token": boss})
        link = first.post("/api/v1/links", headers={"Origin": running.url}).json()["path"]
        unused, code = client.make_link().path, client.make_enrolment().code
        with httpx2.Client(base_url=running.url, trust_env=False) as second:
            assert second.get(link, follow_redirects=False).status_code == 303
            assert second.get("/api/v1/whoami").status_code == 200
            with running.client() as owner:
                owner.revoke_token(next(each.id for each in owner.tokens() if each.name == "admin"))
            running.parts.gatekeeper._known.clear()  # else it is remembered for a few seconds
            assert second.get("/api/v1/whoami").status_code == 401, "a session of a link of a session"
            assert second.get(unused, follow_redirects=False).status_code == 401
    body = {"code": code, "identity": "a", "name": "a"}
    assert (
        httpx2.post(
            f"{running.url}/api/v1/agents/enrol", json=body, headers=PROTOCOL, trust_env=False
        ).status_code
        == 401
    )
    with Client(running.url, ci) as client:
        client.studies()


def test_a_session_ends_with_the_days_of_its_token_and_when_it_is_logged_out(running: Running) -> None:
    short, lasting = a_token(running, "viewer", days=2 / 86_400), a_token(running, "submitter")
    for token, wait_s, logs_out in ((short, 2.5, False), (lasting, 0.0, True)):
        with httpx2.Client(base_url=running.url, trust_env=False) as browser:
            cookie = browser.post("/login", data={"token": token}).headers["set-cookie"].partition(";")[0]
            time.sleep(wait_s)
            if logs_out:
                browser.post("/logout", headers={"Origin": running.url})
        running.parts.gatekeeper._known.clear()
        kept = httpx2.get(f"{running.url}/api/v1/whoami", headers={"Cookie": cookie}, trust_env=False)
        assert kept.status_code == 401


def test_a_wrong_code_registers_nobody_and_a_link_is_no_code(running: Running) -> None:
    HandDrivenAgent(running.url).close()
    with running.client() as client:
        link = client.make_link().path
        for code in ("lfe_wrong", link.partition("link=")[2]):
            body = {"code": code, "identity": "agent-1", "name": "renamed"}
            refused = httpx2.post(f"{running.url}/api/v1/agents/enrol", json=body, headers=PROTOCOL)
            assert refused.status_code == 401
        assert [each.name for each in client.agents()] == ["test-host"]
        assert httpx2.get(running.url + link, follow_redirects=False).status_code == 303, "it still counts"
        at_work = {"code": client.make_enrolment().code, "identity": "agent-1", "name": "thief"}
        refused = httpx2.post(f"{running.url}/api/v1/agents/enrol", json=at_work, headers=PROTOCOL)
        assert refused.json()["code"] == "at-work"


def test_what_is_refused_stands_in_the_audit_log_with_its_status(running: Running) -> None:
    with running.client() as client:
        client.submit_study(a_small_study("small"))
        headers = running.owner_headers
        httpx2.patch(f"{running.url}/api/v1/studies/small", json={"priority": 10**6}, headers=headers)
        lines = {(line.action, line.status) for line in client.audit()}
    assert ("change", 422) in lines


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_added(tmp_path: Path) -> None:
    with a_service(tmp_path, behind_proxy=True) as running:
        statuses = []
        for number in range(FAILURES + 2):
            forged = {
                "Authorization": "Bearer x",
                "X-Forwarded-For": f"10.9.9.{number}, {'x' * 300}, 203.0.113.7",
            }
            answer = httpx2.get(f"{running.url}/api/v1/studies", headers=forged, trust_env=False)
            statuses.append(answer.status_code)
        assert statuses[-1] == 429


def test_a_stream_ends_for_who_may_no_longer_read(running: Running) -> None:
    token = a_token(running, "viewer")
    headers = {"Authorization": f"Bearer {token}"}
    with (
        running.client() as owner,
        httpx2.stream("GET", f"{running.url}/api/v1/events", headers=headers, timeout=20) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith(":")
        owner.revoke_token(next(each.id for each in owner.tokens() if each.name == "viewer"))
        running.parts.gatekeeper._known.clear()
        owner.submit_study(a_small_study("secret"))
        assert not [line for line in lines if "secret" in line]


def test_a_token_ends_when_its_days_are_over(running: Running) -> None:
    token = a_token(running, "viewer", days=1e-6)
    time.sleep(0.2)
    with Client(running.url, token) as client, pytest.raises(ServiceError) as refusal:
        client.studies()
    assert refusal.value.status == 401


def test_a_link_logs_a_browser_in_once_and_its_cookie_is_out_of_reach_of_scripts(running: Running) -> None:
    with running.client() as client:
        link = client.make_link().path
    with httpx2.Client(base_url=running.url, trust_env=False) as browser:
        assert (
            browser.get("/studies/x", follow_redirects=False).headers["location"]
            == "/login?next=%2Fstudies%2Fx"
        )
        first = browser.get(f"{link}&next=/devices", follow_redirects=False)
        assert (first.status_code, first.headers["location"]) == (303, "/devices")
        cookie = first.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert browser.get("/devices").status_code == 200
        assert browser.get("/api/v1/studies").status_code == 200
    with httpx2.Client(base_url=running.url, trust_env=False) as another:
        assert another.get(link, follow_redirects=False).status_code == 401


def test_a_browsers_session_changes_nothing_without_a_page_of_ours(running: Running) -> None:
    with httpx2.Client(base_url=running.url, trust_env=False) as browser:
        browser.post("/login", data={"token": owner_of(running.url)})
        content = a_small_study().encode()
        assert browser.post("/api/v1/studies", content=content).status_code == 401
        evil = {"Origin": "http://evil.example"}
        assert browser.post("/api/v1/studies", content=content, headers=evil).status_code == 403
        own = {"Origin": running.url}
        assert browser.post("/api/v1/studies", content=content, headers=own).status_code == 201


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "x", "/a\nb"])
def test_logging_in_leads_nowhere_else(running: Running, path: str) -> None:
    with httpx2.Client(base_url=running.url, trust_env=False) as browser:
        form = {"token": owner_of(running.url), "next": path}
        assert browser.post("/login", data=form, follow_redirects=False).headers["location"] == "/"


def test_an_enrolled_agent_does_nothing_but_its_own_work_on_its_own_devices(running: Running) -> None:
    with running.client() as client:
        codes = [client.make_enrolment().code for _ in range(2)]
    first, second = (an_enrolled_agent(running, f"agent-{index}", code) for index, code in enumerate(codes))
    devices = [{"identity": "mine", "name": "mine", "kind": "ssh"}]
    assert register(first, "agent-0", devices).status_code == 200
    assert register(second, "agent-0", []).status_code == 403, "it is not that agent"
    taken = register(second, "agent-1", devices)
    assert (taken.status_code, taken.json()["code"]) == (409, "served-elsewhere")
    agent_id = register(first, "agent-0", devices).json()["agent_id"]
    assert second.put(f"/agents/{agent_id}/stations", json={"stations": []}).status_code == 403
    assert second.post(f"/agents/{agent_id}/lease", json={"device_ids": ["x"]}).status_code == 403
    assert first.get("/studies").status_code == 403
    again = httpx2.post(
        f"{running.url}/api/v1/agents/enrol",
        json={"code": codes[0], "name": "thief", "identity": "thief"},
        headers=PROTOCOL,
        trust_env=False,
    )
    assert again.status_code == 401
    for each in (first, second):
        each.close()


def an_enrolled_agent(running: Running, identity: str, code: str) -> httpx2.Client:
    body = {"code": code, "name": identity, "identity": identity}
    answer = httpx2.post(f"{running.url}/api/v1/agents/enrol", json=body, headers=PROTOCOL, trust_env=False)
    headers = {**PROTOCOL, "Authorization": f"Bearer {answer.json()['token']}"}
    return httpx2.Client(base_url=f"{running.url}/api/v1", headers=headers, trust_env=False)


def register(agent: httpx2.Client, identity: str, devices: list[dict[str, str]]) -> httpx2.Response:
    return agent.post("/agents", json={"name": identity, "identity": identity, "devices": devices})


def test_who_shows_wrong_tokens_again_and_again_is_slowed_down_and_the_right_one_still_counts(
    running: Running,
) -> None:
    url = f"{running.url}/api/v1/studies"
    wrong = {"Authorization": f"Bearer {new_token(TokenKind.USER)}"}
    answers = [httpx2.get(url, headers=wrong, trust_env=False).status_code for _ in range(FAILURES + 3)]
    assert answers == [401] * FAILURES + [429] * 3
    assert as_owner("GET", url).status_code == 200


def test_the_audit_tells_who_did_what_and_a_changed_line_is_found(running: Running) -> None:
    with running.client() as owner, Client(running.url, a_token(running, "viewer")) as viewer:
        owner.submit_study(a_small_study())
        owner.cancel_study("small")
        with pytest.raises(ServiceError):
            viewer.resume_study("small")
        lines = owner.audit()
        assert [(each.action, each.subject, each.status) for each in lines[:3]] == [
            ("resume_study", "small", 403),
            ("cancel", "small", 200),
            ("submit", "", 201),
        ]
        assert lines[0].actor == "viewer"
        before = owner.verify_audit()
        assert (before.intact, before.lines, before.head) == (True, lines[0].number, lines[0].hash)
        with running.parts.database.write() as session:
            session.execute(text("UPDATE audit SET actor = 'nobody' WHERE number = 2"))
        after = owner.verify_audit()
        assert (after.intact, after.first_broken) == (False, 2)


def test_a_service_refuses_to_send_tokens_over_a_network_in_plain_text_unless_told_so(tmp_path: Path) -> None:
    options = (
        "up",
        "--no-agent",
        "--data-folder",
        str(tmp_path / "data"),
        "--port",
        "0",
        "--host",
        "0.0.0.0",
    )
    refused = loopfront(*options)
    assert refused.returncode == 1
    assert "without TLS everyone on the network could read the tokens" in one_line(refused.stderr)
    assert "--plain-http" in refused.stderr
    assert not (tmp_path / "data").exists()
    half = loopfront(*options, "--tls-certificate", str(tmp_path / "none.pem"))
    assert "--tls-key" in one_line(half.stderr)


def test_a_user_logs_in_to_a_service_elsewhere_and_lists_and_revokes_tokens(tmp_path: Path) -> None:
    folder, home = tmp_path / "data", tmp_path / "home"
    home.mkdir()
    with up(folder):
        url = f"http://127.0.0.1:{port_of(folder)}"
        own = ("--data-folder", str(folder))
        made = loopfront("token", "create", "ann", "--scope", "submitter", *own)
        token = made.stdout.splitlines()[0]
        away = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "LOOPFRONT_TOKEN": ""}
        before = loopfront("study", "list", "--url", url, **away)
        assert before.returncode == 1
        assert "loopfront login" in one_line(before.stderr)
        import subprocess
        import sys

        login = subprocess.run(
            [sys.executable, "-m", "service.cli", "login", "--url", url],
            input=f"{token}\n",
            capture_output=True,
            text=True,
            env={**__import__("os").environ, **away},
            check=False,
        )
        assert "logged in as ann (submitter)" in login.stdout, login.stderr
        assert loopfront("study", "list", "--url", url, **away).returncode == 0
        listed = loopfront("token", "list", *own).stdout
        token_id = next(line.split()[0] for line in listed.splitlines() if " ann " in line)
        assert "revoked" in loopfront("token", "revoke", token_id, *own).stdout
        assert "intact" in loopfront("audit", "verify", "--json", *own).stdout
