"""The agent that the service starts: started again when it ends, given up with a reason when that is of no use."""

import os
import signal
import time
from pathlib import Path

import httpx2
import pytest
from serving import a_service, a_small_study

from service.agent_news import AgentNews
from service.local_agent import LocalAgent
from service.settings import Settings


def watch_until(agent: LocalAgent, news: AgentNews, word: str, timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while word not in news.trouble:
        assert time.monotonic() < deadline_s, news
        agent.restart_if_ended()
        time.sleep(0.02)


def test_an_agent_that_ends_at_once_is_started_again_and_then_given_up_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOPFRONT_AGENT_IDLE_CORES", "many")
    news = AgentNews()
    agent = LocalAgent(Settings(data_folder=tmp_path), "http://127.0.0.1:9", news, pauses_s=(0.0, 0.0))
    agent.start()
    watch_until(agent, news, "starting it again")
    assert "LOOPFRONT_AGENT_IDLE_CORES: 'many' is no number" in news.trouble
    watch_until(agent, news, "can't run")
    assert "LOOPFRONT_AGENT_IDLE_CORES: 'many' is no number" in news.trouble
    assert "started 3 times" in news.trouble
    assert agent.pid is None
    said = capfd.readouterr().err
    assert said.count("agent: LOOPFRONT_AGENT_IDLE_CORES: 'many'") == 3


def test_the_agents_trouble_is_told_by_the_health_check_the_pages_and_the_study(tmp_path: Path) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        client.submit_study(a_small_study())
        running.parts.agent_news.trouble = "the agent of this machine can't run: no <sh>"
        with httpx2.Client(base_url=running.url, headers=running.owner_headers, trust_env=False) as http:
            assert http.get("/api/v1/healthz").json()["trouble"] == running.parts.agent_news.trouble
            for page in ("/", "/studies/small"):
                assert "can&#39;t run: no &lt;sh&gt;" in http.get(page).text
        assert client.study("small").progress["message"] == running.parts.agent_news.trouble


def test_an_agent_that_was_killed_is_not_said_to_have_ended_for_what_it_said_last(tmp_path: Path) -> None:
    news = AgentNews()
    agent = LocalAgent(Settings(data_folder=tmp_path), "http://127.0.0.1:9", news, pauses_s=(0.0, 0.0))
    agent.start()
    assert agent.pid is not None
    os.kill(agent.pid, signal.SIGKILL)
    try:
        watch_until(agent, news, "killed by signal 9")
    finally:
        agent.stop()
