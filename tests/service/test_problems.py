"""Every error of the REST interface is one problem+json."""

from pathlib import Path

import pytest
from serving import a_service
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from service.app import create_app


def test_an_unexpected_error_is_one_problem_whose_id_stands_in_the_log(tmp_path: Path) -> None:
    with a_service(tmp_path) as running:
        app = create_app(running.parts)

        def broken() -> None:
            raise ZeroDivisionError("secret")

        app.add_api_route("/broken", broken)
        client = TestClient(
            app, base_url="http://127.0.0.1", headers=running.owner_headers, raise_server_exceptions=False
        )
        with capture_logs() as logs:
            answer = client.get("/broken")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert answer.json()["code"] == "internal"
    assert logs[0]["id"] in answer.json()["detail"]
    assert "secret" in logs[0]["error"]


def test_numbers_beyond_any_are_answered_422_with_a_message_that_can_be_read(tmp_path: Path) -> None:
    with a_service(tmp_path) as running:
        client = TestClient(
            create_app(running.parts), base_url="http://127.0.0.1", headers=running.owner_headers
        )
        for number in ("1" * 401, "-" + "1" * 401, "1e400", "NaN"):
            for field in ("parameters", "vocabulary", "embedding_ratio"):
                body = f'{{"layout": "CCA", "{field}": {number}}}'
                answer = client.post(
                    "/api/v1/measurements", content=body, headers={"Content-Type": "application/json"}
                )
                assert answer.status_code == 422, (body, answer.text)
                assert answer.json()["field"] == field
                assert len(answer.json()["detail"]) < 400


@pytest.mark.parametrize(
    ("method", "path", "headers", "value"),
    [
        ("GET", "/api/v1/nothing", {}, "/api/v1/nothing"),
        ("DELETE", "/api/v1/studies", {}, "DELETE"),
        ("GET", "/api/v1/studies/none", {}, "'none'"),
        ("GET", "/api/v1/jobs/none/log", {}, "'none'"),
        ("GET", "/api/v1/measurements/none", {}, "'none'"),
        ("GET", "/api/v1/version", {"Host": "evil.example"}, "'evil.example'"),
        ("POST", "/api/v1/studies", {"Origin": "http://evil.example"}, "'http://evil.example'"),
        ("POST", "/api/v1/measurements", {"Content-Type": "application/json"}, "None"),
    ],
)
def test_a_problem_tells_the_value_and_a_way_out(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], value: str
) -> None:
    with a_service(tmp_path) as running:
        client = TestClient(
            create_app(running.parts), base_url="http://127.0.0.1", headers=running.owner_headers
        )
        answer = client.request(method, path, headers=headers)
    assert 400 <= answer.status_code < 500
    assert value in answer.json()["detail"]
    assert answer.json()["hint"]
