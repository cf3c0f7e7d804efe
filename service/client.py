"""A typed client of the REST API; the command line uses nothing else."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, TypeAdapter

from service.api import schemas
from service.errors import ServiceError, ServiceUnreachable

Model = TypeVar("Model", bound=BaseModel)
API = "/api/v1"


class Client:
    """Talks to one service; every error is a ServiceError with the service's own words."""

    def __init__(self, url: str, timeout_s: float = 60.0) -> None:
        self.url = url.rstrip("/")
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
        report: dict[str, Any] = self._request("GET", f"/studies/{_part(name)}/report").json()
        return report

    def save_report_html(self, name: str, path: Path) -> None:
        """Write the self-contained HTML report to a file."""
        path.write_bytes(self._request("GET", f"/studies/{_part(name)}/report.html").content)

    def devices(self) -> list[schemas.DeviceOut]:
        """List every device."""
        return self._get_list(schemas.DeviceOut, "/devices")

    def measure(self, wish: schemas.MeasurementWish) -> schemas.MeasurementOut:
        """Ask for one architecture to be measured."""
        return self._post(schemas.MeasurementOut, "/measurements", wish.model_dump(mode="json"))

    def measurement(self, measurement_id: str) -> schemas.MeasurementOut:
        """Read how far a single measurement is."""
        return self._get(schemas.MeasurementOut, f"/measurements/{_part(measurement_id)}")

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
        return model.model_validate(self._request("GET", path).json())

    def _get_list(self, model: type[Model], path: str) -> list[Model]:
        return TypeAdapter(list[model]).validate_python(self._request("GET", path).json())  # type: ignore[valid-type]

    def _post(self, model: type[Model], path: str, body: Mapping[str, Any]) -> Model:
        return model.model_validate(self._request("POST", path, json=dict(body)).json())

    def _send_yaml(self, model: type[Model], path: str, text: str, headers: Mapping[str, str]) -> Model:
        sent = {"Content-Type": "application/yaml", **headers}
        return model.model_validate(self._request("POST", path, content=text.encode(), headers=sent).json())

    def _request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, API + path, **options)
        except httpx2.TransportError as error:
            raise ServiceUnreachable(
                f"no service answers at {self.url} ({error})", hint="start one with `loopfront up`"
            ) from None
        if response.is_error:
            raise _told(response)
        return response


def _told(response: httpx2.Response) -> ServiceError:
    try:
        body = response.json()
        error = ServiceError(body["detail"], field=body["field"], hint=body["hint"], code=body["code"])
    except (ValueError, KeyError, TypeError):
        error = ServiceError(f"the service answered {response.status_code}: {response.text[:200]}")
    error.status = response.status_code
    return error


def _part(text: str) -> str:
    return quote(text, safe="")
