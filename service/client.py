"""A typed client of the REST API; the command line uses nothing else."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.api import schemas
from service.errors import BadInput, ServiceError, ServiceUnreachable

Model = TypeVar("Model", bound=BaseModel)
Shape = TypeVar("Shape")
API = "/api/v1"


class Client:
    """Talks to one service; every error is a ServiceError with the service's own words."""

    def __init__(self, url: str, timeout_s: float = 60.0) -> None:
        self.url = _checked_url(url)
        # A proxy in the environment is for the web, not for a service on this machine.
        self._http = httpx2.Client(base_url=self.url, timeout=timeout_s, trust_env=False)

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

    def studies(self) -> list[schemas.StudyOut]:
        """List every study."""
        return self._get_list(schemas.StudyOut, "/studies")

    def study(self, name: str) -> schemas.StudyOut:
        """Read one study and its progress."""
        return self._get(schemas.StudyOut, f"/studies/{_part(name)}")

    def cancel_study(self, name: str) -> schemas.StudyOut:
        """Stop a study; what was measured stays."""
        return self._post(schemas.StudyOut, f"/studies/{_part(name)}/cancel", {})

    def resume_study(self, name: str) -> schemas.StudyOut:
        """Let a failed or cancelled study go on."""
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

    def trials(self, name: str) -> list[schemas.TrialOut]:
        """List a study's trials."""
        return self._get_list(schemas.TrialOut, f"/studies/{_part(name)}/trials")

    def trial(self, name: str, number: int) -> schemas.TrialDetailOut:
        """Read everything that is known of a trial."""
        return self._get(schemas.TrialDetailOut, f"/studies/{_part(name)}/trials/{number}")

    def front(self, name: str) -> schemas.FrontOut:
        """Read the front."""
        return self._get(schemas.FrontOut, f"/studies/{_part(name)}/front")

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
