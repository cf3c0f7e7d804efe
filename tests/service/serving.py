"""Builders for the service's tests: a real service on a loopback port, and an agent driven by hand."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from devices.errors import ServiceAway
from devices.outcome import (
    BlockSamples,
    Measured,
    MemoryReading,
    PhaseSamples,
    ProcessSamples,
    outcome_to_dict,
)
from devices.service_link import PROTOCOL_VERSION
from service.app import create_app
from service.client import Client
from service.parts import Parts, open_parts
from service.search_loop import SearchLoop
from service.secret_files import agent_token_path, owner_token_path, read_secret
from service.settings import Settings
from service.store.bell_wire import BellWire
from service.up import bind

PROTOCOL = {"Loopfront-Protocol": PROTOCOL_VERSION}

TOKENS: dict[str, str] = {}
"""The agent token of each service that a test started, by its address."""

OWNERS: dict[str, str] = {}
"""The token of each such service's owner."""


def know_tokens(url: str, folder: Path) -> None:
    """Remember the tokens of a service that was started on a data folder."""
    TOKENS[url] = read_secret(agent_token_path(folder))
    OWNERS[url] = read_secret(owner_token_path(folder))


def owner_of(url: str) -> str:
    """Find the owner's token for an address below a service's; "" where no such service was started."""
    return next((token for known, token in OWNERS.items() if url == known or url.startswith(f"{known}/")), "")


def as_owner(method: str, url: str, **options: Any) -> httpx2.Response:
    """Send one request with the owner's token."""
    headers = {"Authorization": f"Bearer {owner_of(url)}", **options.pop("headers", {})}
    return httpx2.request(method, url, headers=headers, trust_env=False, **options)


def an_owners_client(url: str) -> Client:
    """Give a client that may do everything."""
    return Client(url, owner_of(url))


def agent_headers(url: str) -> dict[str, str]:
    return {**PROTOCOL, "Authorization": f"Bearer {TOKENS[url]}"}


@dataclass(frozen=True)
class Running:
    """A service that answers on a port of its own."""

    url: str
    parts: Parts

    def client(self) -> Client:
        return an_owners_client(self.url)

    @property
    def owner_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {owner_of(self.url)}"}


@contextmanager
def a_service(folder: Path, with_loop: bool = False, **changes: Any) -> Iterator[Running]:
    """Serve from `folder` by uvicorn on a free loopback port."""
    settings = Settings(data_folder=folder, port=0, **changes)
    parts = open_parts(settings)
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        create_app(parts), log_level="warning", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    loop, wire = SearchLoop(parts), BellWire(parts.database, parts.bell)
    wire.start()
    thread.start()
    if with_loop:
        loop.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    know_tokens(url, folder)
    try:
        yield Running(url, parts)
    finally:
        if with_loop:
            loop.stop()
        server.should_exit = True
        thread.join(5)
        listener.close()
        wire.stop()
        parts.database.close()


class HandDrivenAgent:
    """Speaks the agent protocol; what it reports is simulated, and its device says so by its kind."""

    def __init__(
        self, url: str, identity: str = "agent-1", device: str = "simulated-laptop", **facts: Any
    ) -> None:
        self.http = httpx2.Client(
            base_url=f"{url}/api/v1", headers=agent_headers(url), trust_env=False, timeout=30
        )
        registration = {
            "name": "test-host",
            "identity": identity,
            "devices": [{"identity": f"{identity}-device", "name": device, "kind": "local", "facts": facts}],
        }
        answer = self.post("/agents", registration)
        self.agent_id = answer["agent_id"]
        self.device_id = answer["devices"][0]["device_id"]

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        response = self.http.post(path, json=dict(body))
        if response.status_code == 503:
            raise ServiceAway(response.text)
        assert response.is_success, response.text
        answer: dict[str, Any] = response.json() if response.content else {}
        return answer

    def lease(self, wait_s: float = 5.0) -> dict[str, Any] | None:
        """Ask for a job; None after `wait_s` without one."""
        body = {"device_ids": [self.device_id], "wait_s": wait_s}
        return self.post(f"/agents/{self.agent_id}/lease", body) or None

    def report(self, job: Mapping[str, Any], outcome: Mapping[str, Any]) -> httpx2.Response:
        """Report an outcome; the response is the caller's to judge."""
        body = {"token": job["token"], "outcome": dict(outcome)}
        return self.http.post(f"/jobs/{job['job_id']}/result", json=body)

    def close(self) -> None:
        self.http.close()


def a_simulated_result(decode_ratio: float = 1.0, peak_mb: float = 120.0) -> dict[str, Any]:
    """Numbers that nothing measured, in the shape of a measurement."""
    decode = _phase(5.0 * decode_ratio, 5.0)
    prefill = _phase(200.0 * decode_ratio, 200.0)
    peak = int(peak_mb * 1e6)
    memory = MemoryReading(20_000_000, peak - 10, peak, peak - 5, peak, peak // 2)
    passport = {"simulated": True}
    return outcome_to_dict(Measured(prefill, decode, memory, (1.0,), passport, 0.1))


def _phase(candidate_ms: float, sentinel_ms: float) -> PhaseSamples:
    blocks = [
        BlockSamples((candidate_ms * wobble,) * 2, (sentinel_ms,) * 2, first)
        for wobble, first in ((0.99, True), (1.0, False), (1.01, True))
    ]
    return PhaseSamples((ProcessSamples(tuple(blocks)), ProcessSamples(tuple(blocks))))


SMALL_STUDY = """
study: {name}
seed: 5
trials: {trials}
budget: {{parameters: 6M, tolerance: 0.02}}
space:
  vocabulary: 8192
  embedding_ratio: [0.1, 0.6]
  depth: [4, 10]
  mixers:
    short_conv: {{kernel_size: [3, 4]}}
    grouped_query_attention: {{head_size: 64, kv_heads: [1]}}
workload: {{prompt_tokens: 32, context_tokens: 64, generate_tokens: 16}}
targets:
  laptop: {{device: local}}
objectives: [estimated_relative_loss, tpot_ms_p50@laptop, peak_rss_mb@laptop]
constraints: ["peak_rss_mb@laptop <= 110"]
references: [lfm2-350m]
enqueue: [CCACCA]
"""


def a_small_study(name: str = "small", trials: int = 4) -> str:
    """A study of candidates so small that building one takes a tenth of a second."""
    return SMALL_STUDY.format(name=name, trials=trials)


class SimulatedWorker:
    """Serves jobs from a thread with simulated numbers that follow from the graph's digest alone."""

    def __init__(self, url: str, failing_jobs: frozenset[int] = frozenset(), pause_s: float = 0.0) -> None:
        self.agent = HandDrivenAgent(url)
        self.served: list[str] = []
        self.jobs: list[str] = []
        self._failing_jobs = failing_jobs
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "SimulatedWorker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self.agent.close()

    def _work(self) -> None:
        job: dict[str, Any] | None = None
        while not self._stop.is_set():
            try:
                job = job or self.agent.lease(wait_s=0.5)
                if job is not None:
                    self._serve(job)
                job = None
            except (httpx2.TransportError, ServiceAway):
                self._stop.wait(0.1)  # the service, or its database, was killed and comes back

    def _serve(self, job: Mapping[str, Any]) -> None:
        if "candidate" not in job["plan"]:
            self.jobs.append(job["job_id"])
            self._report(job, self.outcome_of(job, fails=False))
            return
        graph = job["plan"]["candidate"]["graph_sha256"]
        fetched = self.agent.http.get(f"/blobs/{graph}")
        if fetched.status_code == 503:
            raise ServiceAway(fetched.text)
        assert fetched.is_success
        self._stop.wait(self._pause_s)
        self.jobs.append(job["job_id"])
        self.served.append(graph)
        self._report(job, self.outcome_of(job, len(self.served) in self._failing_jobs))

    def outcome_of(self, job: Mapping[str, Any], fails: bool) -> dict[str, Any]:
        """What becomes of a job; a test may have its own mind about it."""
        return simulated_outcome(job["plan"]["candidate"]["graph_sha256"], fails)

    def _report(self, job: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
        while not self._stop.is_set():
            try:
                if self.agent.report(job, outcome).status_code < 500:
                    return
            except httpx2.TransportError:
                pass
            self._stop.wait(0.1)


def simulated_outcome(graph_sha256: str, fails: bool) -> dict[str, Any]:
    """The same numbers for the same graph, so that runs can be compared."""
    if fails:
        return {"kind": "out_of_memory", "reason": "simulated", "log": "simulated"}
    draw = int(graph_sha256[:8], 16) / 16**8
    return a_simulated_result(decode_ratio=0.5 + draw, peak_mb=80 + 40 * draw)


def wait_for_end(client: Client, name: str, timeout_s: float = 60.0) -> str:
    """Wait until a study has ended and return its state."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        study = client.study(name)
        if study.state in {"finished", "failed", "cancelled"}:
            return study.state
        time.sleep(0.1)
    raise AssertionError(f"{name} is still {study.state}: {study.detail}, {study.progress}")
