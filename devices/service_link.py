"""Talk to the service as an agent does."""

import enum
import hashlib
import os
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from types import TracebackType
from typing import Any, Self

import httpx2

from devices.agent_token import AgentToken
from devices.errors import (
    BlobDamaged,
    DeviceError,
    LeaseSuperseded,
    ProtocolMismatch,
    ServiceAway,
    ServiceRefused,
    ServiceStumbled,
    TokenRefused,
)
from devices.untrusted_text import visible_line

PROTOCOL_VERSION = "4"
"""2: agents show a token and tell how they stand to each device. 3: several jobs of a device are leased at a time.
4: who asks for a job names those under way; a fault that isn't the device's says so."""

LEASES_PER_DEVICE = 4
"""So many jobs of a device are under way at a time, their processes in turns: together they outlast a disturbance."""

VERSION_FORM = re.compile(r"[0-9A-Za-z.+!-]{1,40}")
"""What may stand as a version in a command that somebody is to type."""

# The service holds a lease request open for up to 20 s.
LONGEST_WAIT_S = 20.0
_TIMEOUT = httpx2.Timeout(connect=5.0, read=LONGEST_WAIT_S + 15.0, write=30.0, pool=30.0)


@dataclass(frozen=True)
class DeviceRegistration:
    """A device as its agent presents it."""

    identity: str
    name: str
    kind: str
    labels: Mapping[str, str]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Registered:
    """The ids under which the service knows an agent and, by identity, its devices."""

    agent_id: str
    device_ids: Mapping[str, str]


@dataclass(frozen=True)
class Lease:
    """A job that is ours until it expires; every heartbeat extends it."""

    job_id: str
    device_id: str
    token: int
    expires_in_s: float
    heartbeat_s: float
    plan: Mapping[str, Any]


class Stand(enum.Enum):
    """How an agent stands to a device."""

    READY = "ready"
    RESTING = "resting"  # by its owner's rules
    UNOPENED = "unopened"  # the words say why, and what to type
    KEY_CHANGED = "key_changed"  # another machine may be answering


@dataclass(frozen=True)
class StationReport:
    """How an agent stands to a device; `identity` is None while nobody knows it."""

    name: str
    kind: str
    state: Stand
    words: str = ""
    identity: str | None = None


@dataclass(frozen=True)
class Examination:
    """What examining a device came to; without an identity the service goes by the agent's name for it."""

    name: str
    identity: str | None
    passed: bool
    words: str = ""


@dataclass(frozen=True)
class ExaminationReceipt:
    """The registered device that an examination was of, if any, and whether it may be measured again by that."""

    name: str
    device: str | None
    is_lifted: bool


class Receipt(enum.Enum):
    """What the service did with a result; in each case it need not be sent again."""

    STORED = "stored"
    ALREADY_STORED = "already-stored"
    SUPERSEDED = "superseded"  # kept as evidence only


class ServiceLink:
    """A connection to one service.

    Every method raises ServiceAway if nobody answers (try again later), ServiceRefused if the
    answer is no (trying again would not help), and AgentUnwelcome if the service does not talk with this agent.
    """

    def __init__(self, server: str, token: AgentToken | None = None) -> None:
        headers = {"Loopfront-Protocol": PROTOCOL_VERSION, "Loopfront-Version": own_version()}
        # trust_env=False: a proxy set for browsers must not come between an agent and its own machine.
        self._client = httpx2.Client(
            base_url=f"{checked_address(server)}/api/v1/",
            headers=headers,
            auth=token,
            timeout=_TIMEOUT,
            trust_env=False,
            verify=authorities(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; every method fails afterwards."""
        self._client.close()

    def hello(self) -> None:
        """Ask whether this agent is welcome."""
        self._request("GET", "agents/hello")

    def enrol(self, code: str, name: str, identity: str) -> str:
        """Change an enrolment code, which counts once, for a token of this agent's own."""
        answer = self._post("agents/enrol", {"code": code, "name": name, "identity": identity})
        with _understood("agents/enrol"):
            return str(answer["token"])

    def tell_stations(self, agent_id: str, stations: Sequence[StationReport]) -> None:
        """Say how this agent stands to each device it knows; the service forgets all others."""
        told = [{**vars(each), "state": each.state.value, "words": each.words[:1000]} for each in stations]
        self._request("PUT", f"agents/{agent_id}/stations", {"stations": told})

    def tell_examinations(
        self, agent_identity: str, examinations: Sequence[Examination]
    ) -> tuple[ExaminationReceipt, ...]:
        """Say what examining devices came to; one that passed may be measured again."""
        told = [{**vars(each), "words": each.words[:1000]} for each in examinations]
        body = {"agent_identity": agent_identity, "examinations": told}
        answer = self._request("POST", "examinations", body)
        with _understood("examinations"):
            return tuple(
                ExaminationReceipt(each["name"], each["device"], each["is_lifted"]) for each in answer.json()
            )

    def register(
        self, name: str, identity: str, devices: Sequence[DeviceRegistration], is_start: bool = True
    ) -> Registered:
        """Present this agent and its devices; the same identities get the same ids again.

        With `is_start` the service ends what the agent still held: its process has just begun.
        """
        presented = [{**vars(device)} for device in devices]
        body = {"name": name, "identity": identity, "devices": presented, "is_start": is_start}
        answer = self._post("agents", body)
        with _understood("agents"):
            known = {device["identity"]: device["device_id"] for device in answer["devices"]}
            return Registered(answer["agent_id"], known)

    def lease(
        self, agent_id: str, device_ids: Sequence[str], wait_s: float, held: Sequence[Lease] = ()
    ) -> Lease | None:
        """Ask for a job for one of these devices, waiting up to `wait_s` for one to appear.

        `held` are those under way there: they live on, even if nothing was heard of them for long.
        """
        body = {
            "device_ids": list(device_ids),
            "wait_s": min(wait_s, LONGEST_WAIT_S),
            "held": [{"job_id": each.job_id, "token": each.token} for each in held],
        }
        answer = self._post(f"agents/{agent_id}/lease", body)
        if not answer:
            return None
        with _understood("lease"):
            return Lease(**{name: answer[name] for name in Lease.__dataclass_fields__})

    def heartbeat(self, job_id: str, token: int) -> float:
        """Extend a lease and return for how long; raises LeaseSuperseded if the job is someone else's now."""
        try:
            answer = self._post(f"jobs/{job_id}/heartbeat", {"token": token})
        except _Conflict as conflict:
            raise LeaseSuperseded(str(conflict), is_paused=conflict.code == "paused") from conflict
        with _understood("heartbeat"):
            return float(answer["expires_in_s"])

    def report(self, job_id: str, token: int, outcome: Mapping[str, Any]) -> Receipt:
        """Hand in an outcome."""
        try:
            self._post(f"jobs/{job_id}/result", {"token": token, "outcome": dict(outcome)})
        except _Conflict as conflict:
            return Receipt(conflict.code) if conflict.code in _RECEIPT_CODES else Receipt.SUPERSEDED
        return Receipt.STORED

    def release(self, job_id: str, token: int, reason: str) -> None:
        """Give a job back unmeasured; that it is someone else's by now does not matter."""
        try:
            self._post(f"jobs/{job_id}/release", {"token": token, "reason": reason})
        except _Conflict:
            return

    def blob(self, sha256: str) -> bytes:
        """Fetch a blob; raises BlobDamaged if its digest shows that something else arrived."""
        content = self._request("GET", f"blobs/{sha256}").content
        arrived = hashlib.sha256(content).hexdigest()
        if arrived != sha256:
            raise BlobDamaged(f"the graph {sha256} arrived with digest {arrived}")
        return content

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        response = self._request("POST", path, body)
        if response.status_code == 204:
            return {}
        try:
            return dict(response.json())
        except ValueError as error:
            raise ServiceAway(f"{path}: what answers there is not Loopfront") from error

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx2.Response:
        try:
            response = self._client.request(method, path, json=body)
        except (httpx2.HTTPError, RuntimeError) as error:
            raise ServiceAway(f"{self._client.base_url}: {error or type(error).__name__}") from error
        if response.status_code == 426:
            raise ProtocolMismatch(_problem(response))
        if response.status_code >= 500 or response.status_code == 429:
            raise ServiceStumbled(f"{path}: {_problem(response)}")
        _require_protocol(response)
        if response.status_code == 401:
            raise TokenRefused(_problem(response))
        if response.status_code == 409:
            raise _Conflict(response)
        if not response.is_success:
            raise ServiceRefused(f"{path}: {_problem(response)}")
        return response


def own_version() -> str:
    """Return the version of loopfront that this agent is of; "" where it was never installed."""
    try:
        return metadata.version("loopfront")
    except metadata.PackageNotFoundError:
        return ""


def _require_protocol(response: httpx2.Response) -> None:
    """Refuse to go on with a service of another protocol, saying what to install where."""
    spoken = response.headers.get("Loopfront-Protocol", "")[:20]
    if spoken == PROTOCOL_VERSION:
        return
    told, own = response.headers.get("Loopfront-Version", ""), own_version()
    version = told if VERSION_FORM.fullmatch(told) else ""  # it stands in a command that is to be typed
    said = f"the service speaks agent protocol {spoken}, this agent {PROTOCOL_VERSION}"
    if not spoken:
        said = (
            f"what answers there names no agent protocol, so it is an older service or another program "
            f"(this agent speaks {PROTOCOL_VERSION})"
        )
    if spoken.isdecimal() and int(spoken) > int(PROTOCOL_VERSION):
        wanted = f"'loopfront=={version}'" if version else "--upgrade loopfront"
        raise ProtocolMismatch(f"{said}; on this machine: pip install {wanted}, then start the agent again")
    wanted = f"'loopfront=={own}'" if own else "--upgrade loopfront"
    raise ProtocolMismatch(
        f"{said}; upgrade the service: pip install {wanted} on its machine, then start it again"
    )


def authorities() -> ssl.SSLContext | bool:
    """Whom to trust for a service's certificate: those of the file that SSL_CERT_FILE names, or the system's."""
    file = os.environ.get("SSL_CERT_FILE")
    if not file:
        return True
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise DeviceError(
            f"SSL_CERT_FILE={file} can't be used: {error.strerror or error}; name a PEM file of certificates"
        ) from None


def checked_address(server: str) -> str:
    """Give a service's address without the last slash; raises DeviceError where it can't be one."""
    try:
        parsed = httpx2.URL(server)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise DeviceError(f"{server!r} is no service's address: write it as http://127.0.0.1:8765")
    return server.rstrip("/")


@contextmanager
def _understood(what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceRefused(
            f"{what}: the answer is not of protocol {PROTOCOL_VERSION}: {error!r}"
        ) from error


_RECEIPT_CODES = frozenset(receipt.value for receipt in Receipt)


class _Conflict(ServiceRefused):
    """The service answered 409; the code says why."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(_problem(response))
        self.code = str(_body(response).get("code", ""))


def _problem(response: httpx2.Response) -> str:
    """Put an error answer (problem+json) into one line, with its hint."""
    body = _body(response)
    said = [str(body[key]) for key in ("title", "detail", "hint") if body.get(key)]
    return visible_line(f"{response.status_code} {'. '.join(said) or response.text[:200]}")


def _body(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
