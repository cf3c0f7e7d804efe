"""A small real HTTP server that speaks the agent protocol and notes what it was told."""

import json
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from devices.service_link import PROTOCOL_VERSION

WENT_AWAY = "the device went away"
"""Jobs that are given back for it go back on the list; for other reasons a test looks at what was given back."""


class TinyService(AbstractContextManager["TinyService"]):
    """One queue of jobs. It can go away and come back at the same address, its memory kept."""

    def __init__(self, blobs: Mapping[str, bytes] | None = None, heartbeat_s: float = 0.2) -> None:
        self.blobs = dict(blobs or {})
        self.heartbeat_s = heartbeat_s
        self.waiting: list[tuple[str, Mapping[str, Any], str]] = []
        self.leases_granted: list[tuple[str, int]] = []
        self.registrations: list[dict[str, Any]] = []
        self.results: dict[str, dict[str, Any]] = {}
        self.releases: list[dict[str, Any]] = []
        self.leased: dict[str, tuple[str, Mapping[str, Any], str]] = {}
        self.fetched: list[str] = []
        self.heartbeats = 0
        self.stations: list[dict[str, Any]] = []
        self.paused: set[str] = set()
        self.token = ""
        self.protocol = PROTOCOL_VERSION
        self.superseded: set[str] = set()
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self._changed = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.come_back()

    def __exit__(self, *_: object) -> None:
        self.go_away()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def go_away(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def come_back(self) -> None:
        service = self

        class Handler(_Handler):
            memory = service

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def enqueue(self, job_id: str, plan: Mapping[str, Any], device: str = "") -> None:
        """Give a job out to whoever asks, or to the device of that name alone."""
        with self._changed:
            self.waiting.append((job_id, plan, device))
            self._changed.notify_all()

    def wait_for(self, condition: Any, timeout_s: float = 30.0) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), vars(self)

    def answer(self, path: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        with self._changed:
            status, answer = self.refusal or self._answer(path, body)
            self._changed.notify_all()
            return status, answer

    def _answer(self, path: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        match path:
            case ["agents"]:
                self.registrations.append(body)
                known = [{**device, "device_id": f"id-{device['identity']}"} for device in body["devices"]]
                return 200, {"agent_id": "agent-1", "devices": known}
            case ["agents", "agent-1", "lease"]:
                return self._lease(body)
            case ["agents", "agent-1", "stations"]:
                self.stations = body["stations"]
                return 200, {"stored": True}
            case ["jobs", job_id, action]:
                return self._job(job_id, action, body)
        return 404, {"title": "not found"}

    def _job(self, job_id: str, action: str, body: dict[str, Any]) -> tuple[int, Any]:
        if action == "heartbeat":
            self.heartbeats += 1
            if job_id in self.paused:
                return 409, {"title": "over", "code": "paused", "detail": "the device was paused: lunch"}
            if job_id in self.superseded:
                return 409, {"title": "superseded", "code": "superseded"}
        if action == "result":
            if job_id in self.results:
                return 409, {"title": "stored already", "code": "already-stored"}
            self.results[job_id] = body
        if action == "release":
            self.releases.append({"job_id": job_id, **body})
            if body["reason"] == WENT_AWAY:
                self.waiting.append(self.leased[job_id])
        return 200, {"expires_in_s": 3.0}

    def _jobs_for(self, body: dict[str, Any]) -> list[tuple[str, Mapping[str, Any], str]]:
        devices = [device for registration in self.registrations for device in registration["devices"]]
        names = {device["name"] for device in devices if f"id-{device['identity']}" in body["device_ids"]}
        return [job for job in self.waiting if not job[2] or job[2] in names]

    def _lease(self, body: dict[str, Any]) -> tuple[int, Any]:
        if not self._jobs_for(body):
            self._changed.wait(min(body["wait_s"], 0.2))
        jobs = self._jobs_for(body)
        if not jobs:
            return 204, None
        self.waiting.remove(jobs[0])
        self.leased[jobs[0][0]] = jobs[0]
        job_id, plan, _ = jobs[0]
        token = len(self.leases_granted) + 1
        self.leases_granted.append((job_id, token))
        lease = {"job_id": job_id, "device_id": body["device_ids"][0], "token": token, "plan": plan}
        return 200, {**lease, "expires_in_s": 3.0, "heartbeat_s": self.heartbeat_s, "later_addition": 1}


class _Handler(BaseHTTPRequestHandler):
    memory: TinyService
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.headers.get("Loopfront-Protocol") != PROTOCOL_VERSION:
            self._send(
                426,
                {"title": "Upgrade", "detail": "another protocol is spoken here", "hint": "pip install -U"},
            )
            return
        if not self._is_welcome():
            self._send(401, {"title": "Token", "detail": "the agent's token is wrong", "hint": "ask"})
            return
        status, answer = self.memory.answer(self.path.removeprefix("/api/v1/").split("/"), body)
        self._send(status, answer)

    def _is_welcome(self) -> bool:
        wanted = self.memory.token
        return not wanted or self.headers.get("Authorization") == f"Bearer {wanted}"

    def do_GET(self) -> None:
        if self.path == "/api/v1/agents/hello":
            if self._is_welcome():
                self._send(200, {"protocol": self.memory.protocol})
            else:
                self._send(401, {"title": "Token", "detail": "the agent's token is wrong", "hint": "ask"})
            return
        self.memory.fetched.append(self.path.rpartition("/")[2])
        blob = self.memory.blobs.get(self.memory.fetched[-1])
        if blob is None:
            self._send(404, {"title": "no such blob"})
        else:
            self._send_bytes(200, blob)

    def _send(self, status: int, answer: Any) -> None:
        self._send_bytes(status, b"" if answer is None else json.dumps(answer).encode())

    def _send_bytes(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Loopfront-Protocol", self.memory.protocol)
        self.send_header("Loopfront-Version", "9.9.9")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        return
