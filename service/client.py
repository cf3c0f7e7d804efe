"""A typed client of the REST API; the command line uses nothing else."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from devices.errors import DeviceError
from devices.service_link import authorities
from service.api import schemas
from service.errors import BadInput, ServiceError, ServiceUnreachable

Model = TypeVar("Model", bound=BaseModel)
Shape = TypeVar("Shape")
API = "/api/v1"


class Client:
    """Talks to one service; every error is a ServiceError with the service's own words."""

    def __init__(self, url: str, token: str = "", timeout_s: float = 60.0) -> None:
        self.url = _checked_url(url)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # A proxy in the environment is for the web, not for a service on this machine.
        try:
            trusted = authorities()
        except DeviceError as error:
            raise BadInput(str(error), field="SSL_CERT_FILE") from None
        self._http = httpx2.Client(
            base_url=self.url, headers=headers, timeout=timeout_s, trust_env=False, verify=trusted
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def version(self) -> schemas.VersionOut:
        """Ask which service this is."""
        return self._get(schemas.VersionOut, "/version")

    def submit_study(self, document: str, idempotency_key: str | None = None) -> schemas.StudyOut:
        """Submit a study file (YAML or JSON text)."""
        if idempotency_key and not idempotency_key.isascii():
            raise BadInput(f"{idempotency_key!r} can't be sent", field="--key", hint="use ASCII")
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._send_yaml(schemas.StudyOut, "/studies", document, headers)

    def validate_study(self, document: str) -> schemas.StudyValid:
        """Check a study file; nothing is created."""
        return self._send_yaml(schemas.StudyValid, "/studies/validate", document, {})

    def studies(self, states: Sequence[str] = (), text: str = "") -> list[schemas.StudySummary]:
        """List studies, newest first: all, or those in any of these states with this text in their names."""
        asked = {"state": list(states), "text": text}
        return list(self._pages(schemas.StudyPage, "/studies", asked))

    def study(self, name: str) -> schemas.StudyOut:
        """Read one study and its progress."""
        return self._get(schemas.StudyOut, f"/studies/{_part(name)}")

    def cancel_study(self, name: str) -> schemas.StudyOut:
        """Stop a study; what was measured stays."""
        return self._post(schemas.StudyOut, f"/studies/{_part(name)}/cancel", {})

    def pause_study(self, name: str) -> schemas.StudyOut:
        """Stop a study for a while; what is being measured still counts."""
        return self._post(schemas.StudyOut, f"/studies/{_part(name)}/pause", {})

    def extend_study(self, name: str, trials: int = 0, device_minutes: float = 0.0) -> schemas.StudyOut:
        """Let a study go on for more trials or device-minutes."""
        body = {"trials": trials, "device_minutes": device_minutes}
        return self._post(schemas.StudyOut, f"/studies/{_part(name)}/extend", body)

    def clone_study(self, name: str, new_name: str, changes: Mapping[str, Any]) -> schemas.StudyOut:
        """Submit a study like another, with changes as a JSON merge patch of its document."""
        body = {"study": new_name, "changes": dict(changes)}
        return self._post(schemas.StudyOut, f"/studies/{_part(name)}/clone", body)

    def delete_study(self, name: str, confirm: str) -> schemas.StudyDeleted:
        """Forget a study; `confirm` is its name once more."""
        response = self._request("DELETE", f"/studies/{_part(name)}", params={"confirm": confirm})
        return self._read(schemas.StudyDeleted, response)

    def set_priority(self, name: str, priority: int) -> schemas.StudyOut:
        """Change a study's priority; the highest goes first on a device."""
        response = self._request("PATCH", f"/studies/{_part(name)}", json={"priority": priority})
        return self._read(schemas.StudyOut, response)

    def resume_study(self, name: str) -> schemas.StudyOut:
        """Let a study that was paused, failed or was cancelled go on."""
        return self._post(schemas.StudyOut, f"/studies/{_part(name)}/resume", {})

    def enqueue(
        self, name: str, layouts: Sequence[str], architectures: Sequence[Mapping[str, Any]] = ()
    ) -> schemas.CandidatesQueued:
        """Add known layouts or whole architectures to a study."""
        body = {"layouts": list(layouts), "architectures": [dict(each) for each in architectures]}
        return self._post(schemas.CandidatesQueued, f"/studies/{_part(name)}/candidates", body)

    def repeat(self, name: str, count: int) -> schemas.StudyOut:
        """Measure finished candidates again."""
        return self._post(schemas.StudyOut, f"/studies/{_part(name)}/repeats", {"count": count})

    def trials(
        self, name: str, states: Sequence[str] = (), kinds: Sequence[str] = ()
    ) -> list[schemas.TrialOut]:
        """List a study's trials by number: all, or those in any of these states and of these kinds."""
        asked = {"state": list(states), "kind": list(kinds)}
        return list(self._pages(schemas.TrialPage, f"/studies/{_part(name)}/trials", asked))

    def trial(self, name: str, number: int) -> schemas.TrialDetailOut:
        """Read everything that is known of a trial."""
        return self._get(schemas.TrialDetailOut, f"/studies/{_part(name)}/trials/{number}")

    def remeasure(self, name: str, number: int) -> schemas.TrialDetailOut:
        """Measure a trial once more."""
        return self._post(schemas.TrialDetailOut, f"/studies/{_part(name)}/trials/{number}/remeasure", {})

    def post_quality(
        self, name: str, number: int, metric: str, quality: schemas.QualityGiven
    ) -> schemas.TrialDetailOut:
        """Keep a quality value of a trial that was found elsewhere."""
        path = f"/studies/{_part(name)}/trials/{number}/quality/{_part(metric)}"
        response = self._request("PUT", path, json=quality.model_dump(mode="json"))
        return self._read(schemas.TrialDetailOut, response)

    def front(self, name: str, objectives: Sequence[str] = ()) -> schemas.FrontOut:
        """Read the front by these metrics, by all objectives where none is named."""
        asked = {"objectives": list(objectives)}
        response = self._request("GET", f"/studies/{_part(name)}/front", params=asked)
        return self._read(schemas.FrontOut, response)

    def front_file(self, name: str, objectives: Sequence[str], format_: str) -> bytes:
        """Read the front as the bytes of a file: json, csv or parquet."""
        asked = {"objectives": list(objectives), "format": format_}
        return self._request("GET", f"/studies/{_part(name)}/front", params=asked).content

    def report(self, name: str) -> dict[str, Any]:
        """Read the report as `reports.encoding.report_from_dict` takes it."""
        return self._read(dict[str, Any], self._request("GET", f"/studies/{_part(name)}/report"))

    def save_report_html(self, name: str, path: Path) -> None:
        """Write the self-contained HTML report to a file."""
        page = self._request("GET", f"/studies/{_part(name)}/report.html").content
        try:
            path.write_bytes(page)
        except OSError as error:
            raise BadInput(
                f"the report can't be written here: {error.strerror or error}",
                field=str(path),
                hint="name a file in a folder that exists with --out",
            ) from None

    def devices(self) -> list[schemas.DeviceOut]:
        """List every device."""
        return self._get_list(schemas.DeviceOut, "/devices")

    def unregistered_devices(self) -> list[schemas.StationOut]:
        """List what agents know and can't open."""
        return self._get_list(schemas.StationOut, "/devices/unregistered")

    def device(self, name: str) -> schemas.DeviceOut:
        """Read one device by its name or id."""
        return self._get(schemas.DeviceOut, f"/devices/{_part(name)}")

    def sentinels(self, name: str, newest: int = 200) -> list[schemas.SentinelOut]:
        """List how fast the sentinel ran on a device, the newest measurement first."""
        return self._get_list(schemas.SentinelOut, f"/devices/{_part(name)}/sentinels?newest={newest}")

    def agents(self) -> list[schemas.AgentOut]:
        """List every agent."""
        return self._get_list(schemas.AgentOut, "/agents")

    def quarantine_device(self, name: str, reason: str) -> schemas.DeviceOut:
        """Trust nothing of a device until a doctor has passed it."""
        return self._post(schemas.DeviceOut, f"/devices/{_part(name)}/quarantine", {"reason": reason})

    def pause_device(self, name: str, reason: str = "") -> schemas.DeviceOut:
        """Measure nothing more on a device, by its name or id; what is under way ends within seconds."""
        return self._post(schemas.DeviceOut, f"/devices/{_part(name)}/pause", {"reason": reason})

    def resume_device(self, name: str) -> schemas.DeviceOut:
        """Let a paused device be measured again."""
        return self._post(schemas.DeviceOut, f"/devices/{_part(name)}/resume", {})

    def label_device(self, name: str, labels: Mapping[str, str | None]) -> schemas.DeviceOut:
        """Set labels over those of the device's agent; None takes one away."""
        response = self._request("PATCH", f"/devices/{_part(name)}", json={"labels": dict(labels)})
        return self._read(schemas.DeviceOut, response)

    def begin_profile(self, device: str, wish: schemas.ProfileWish) -> schemas.ProfileOut:
        """Ask for a device's profile; join the one under way, or get the one that is there."""
        path = f"/devices/{_part(device)}/profile"
        return self._post(schemas.ProfileOut, path, wish.model_dump(mode="json"))

    def profile(self, profile_id: str) -> schemas.ProfileOut:
        """Read how far a profile is, and all that is known so far."""
        return self._get(schemas.ProfileOut, f"/profiles/{_part(profile_id)}")

    def device_profile(self, device: str) -> schemas.ProfileOut:
        """Read a device's newest profile."""
        return self._get(schemas.ProfileOut, f"/devices/{_part(device)}/profile")

    def cancel_profile(self, profile_id: str) -> schemas.ProfileOut:
        """Stop a profile; what was measured stays."""
        return self._post(schemas.ProfileOut, f"/profiles/{_part(profile_id)}/cancel", {})

    def profile_html(self, profile_id: str) -> bytes:
        """Read a profile as one self-contained HTML file."""
        return self._request("GET", f"/profiles/{_part(profile_id)}/page.html").content

    def measure(self, wish: schemas.MeasurementWish) -> schemas.MeasurementOut:
        """Ask for one architecture to be measured."""
        return self._post(schemas.MeasurementOut, "/measurements", wish.model_dump(mode="json"))

    def measurement(self, measurement_id: str) -> schemas.MeasurementOut:
        """Read how far a single measurement is."""
        return self._get(schemas.MeasurementOut, f"/measurements/{_part(measurement_id)}")

    def cancel_measurement(self, measurement_id: str) -> schemas.MeasurementOut:
        """Withdraw the wish for a single measurement."""
        return self._post(schemas.MeasurementOut, f"/measurements/{_part(measurement_id)}/cancel", {})

    def trial_attempts(self, name: str, number: int) -> list[schemas.AttemptOut]:
        """List every attempt behind a trial, the first one first."""
        return self._get_list(schemas.AttemptOut, f"/studies/{_part(name)}/trials/{number}/attempts")

    def measurement_attempts(self, measurement_id: str) -> list[schemas.AttemptOut]:
        """List every attempt behind a single measurement and its calibration, the first one first."""
        return self._get_list(schemas.AttemptOut, f"/measurements/{_part(measurement_id)}/attempts")

    def device_attempts(self, name: str, newest: int = 20) -> list[schemas.AttemptOut]:
        """List the newest attempts on a device, the newest one first."""
        return self._get_list(schemas.AttemptOut, f"/devices/{_part(name)}/attempts?newest={newest}")

    def job_log(self, job_id: str) -> schemas.JobLog:
        """Read every attempt of a job."""
        return self._get(schemas.JobLog, f"/jobs/{_part(job_id)}/log")

    def who_am_i(self) -> dict[str, Any]:
        """Ask whose token is shown, and what it may."""
        return self._read(dict[str, Any], self._request("GET", "/whoami"))

    def create_token(self, given: schemas.TokenGiven) -> schemas.TokenMade:
        """Make a token; it is in the answer, and nowhere else."""
        return self._post(schemas.TokenMade, "/tokens", given.model_dump(mode="json"))

    def tokens(self) -> list[schemas.TokenOut]:
        """List tokens, without the tokens themselves."""
        return self._get_list(schemas.TokenOut, "/tokens")

    def revoke_token(self, token_id: str) -> schemas.TokenOut:
        """End a token."""
        return self._read(schemas.TokenOut, self._request("DELETE", f"/tokens/{_part(token_id)}"))

    def make_enrolment(self) -> schemas.EnrolmentMade:
        """Make a code with which one agent may enrol."""
        return self._post(schemas.EnrolmentMade, "/enrolments", {})

    def make_link(self) -> schemas.LinkMade:
        """Make a link that logs a browser in once."""
        return self._post(schemas.LinkMade, "/links", {})

    def add_webhook(self, given: schemas.WebhookGiven) -> schemas.WebhookMade:
        """Have a URL told of what happens; its secret is in the answer, and nowhere else."""
        return self._post(schemas.WebhookMade, "/webhooks", given.model_dump(mode="json"))

    def webhooks(self) -> list[schemas.WebhookOut]:
        """List webhooks."""
        return self._get_list(schemas.WebhookOut, "/webhooks")

    def remove_webhook(self, webhook_id: str) -> schemas.WebhookOut:
        """Tell a URL nothing more."""
        return self._read(schemas.WebhookOut, self._request("DELETE", f"/webhooks/{_part(webhook_id)}"))

    def test_webhook(self, webhook_id: str) -> schemas.WebhookTested:
        """Send a test message."""
        return self._post(schemas.WebhookTested, f"/webhooks/{_part(webhook_id)}/test", {})

    def audit(self, newest: int = 50) -> list[schemas.AuditLine]:
        """List who did what, the newest first."""
        response = self._request("GET", "/audit", params={"limit": newest})
        return self._read(schemas.AuditPage, response).items

    def verify_audit(self) -> schemas.AuditVerified:
        """Have the whole audit log checked."""
        return self._get(schemas.AuditVerified, "/audit/verification")

    def wait_until_up(self, timeout_s: float) -> None:
        """Wait until the service answers."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.version()
                return
            except ServiceUnreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _get(self, model: type[Model], path: str) -> Model:
        return self._read(model, self._request("GET", path))

    def _get_list(self, model: type[Model], path: str) -> list[Model]:
        return self._read(list[model], self._request("GET", path))  # type: ignore[valid-type]

    def _pages(
        self, model: type[schemas.StudyPage] | type[schemas.TrialPage], path: str, asked: Mapping[str, Any]
    ) -> Iterator[Any]:
        """Read a list to its end, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = self._read(model, self._request("GET", path, params={**asked, "limit": 200, **cursor}))
            yield from page.items
            if page.next_cursor is None:
                return
            cursor = {"cursor": page.next_cursor}

    def _post(self, model: type[Model], path: str, body: Mapping[str, Any]) -> Model:
        return self._read(model, self._request("POST", path, json=dict(body)))

    def _send_yaml(self, model: type[Model], path: str, text: str, headers: Mapping[str, str]) -> Model:
        sent = {"Content-Type": "application/yaml", **headers}
        return self._read(model, self._request("POST", path, content=text.encode(), headers=sent))

    def _read(self, shape: type[Shape], response: httpx2.Response) -> Shape:
        try:
            return TypeAdapter(shape).validate_json(response.content)
        except ValidationError:
            raise self._foreign(f"its answer to {response.request.url.path} is none of ours") from None

    def _foreign(self, detail: str) -> ServiceError:
        return ServiceError(
            f"this isn't a Loopfront service of this version: {detail}",
            field=self.url,
            hint="give the address that `loopfront up` printed with --url",
            code="not-loopfront",
        )

    def _request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, API + path, **options)
        except httpx2.RequestError as error:
            raise ServiceUnreachable(
                f"no service answers at {self.url} ({error})",
                hint="start one with `loopfront up`, or give another --url",
            ) from None
        if not response.is_success:
            raise self._told(response)
        return response

    def _told(self, response: httpx2.Response) -> ServiceError:
        try:
            body = response.json()
            error = ServiceError(body["detail"], field=body["field"], hint=body["hint"], code=body["code"])
        except (ValueError, KeyError, TypeError):
            return self._foreign(f"it answered {response.status_code} to {response.request.url.path}")
        error.status = response.status_code
        return error


def _checked_url(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise BadInput(
            f"{url!r} isn't a service's address", field="--url", hint="write it as http://127.0.0.1:8765"
        )
    return url.rstrip("/")


def _part(text: str) -> str:
    return quote(text, safe="")
