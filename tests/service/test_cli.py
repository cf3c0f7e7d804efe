"""The command line: which service it talks to, and one line for whatever is wrong with what it is given."""

import http.server
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import COMMAND, loopfront, one_line, port_of, up
from serving import a_small_study

from service.version import VERSION


class _ForeignPage(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'[{"name": "other"}]' if self.path.endswith("/devices") else b"<html>hello</html>"
        self.send_response(404 if "missing" in self.path else 200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@contextmanager
def a_foreign_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _ForeignPage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_command_talks_to_the_service_of_its_data_folder_only(tmp_path: Path) -> None:
    with up(tmp_path / "mine"):
        port = str(port_of(tmp_path / "mine"))
        done = loopfront("study", "list", "--data-folder", str(tmp_path / "other"), LOOPFRONT_PORT=port)
    assert done.returncode == 1
    assert str(tmp_path / "other") in one_line(done.stderr)
    assert f"loopfront up --data-folder {tmp_path / 'other'}" in done.stderr
    assert not (tmp_path / "other").exists()


def test_a_server_that_is_none_of_ours_is_called_so() -> None:
    with a_foreign_server() as url:
        for command in (["study", "list"], ["device", "list"], ["study", "show", "missing"]):
            done = loopfront(*command, "--url", url)
            assert done.returncode == 1
            assert "isn't a Loopfront service" in one_line(done.stderr)
            assert url in done.stderr


def test_an_address_that_is_none_is_one_line() -> None:
    for url in ("http://:", "localhost:8765", "ftp://x", "x"):
        done = loopfront("study", "list", "--url", url)
        assert done.returncode == 2
        assert "--url" in one_line(done.stderr)


def test_a_report_for_a_folder_that_is_missing_names_the_file(tmp_path: Path) -> None:
    with up(tmp_path / "data"):
        options = ["--data-folder", str(tmp_path / "data")]
        (tmp_path / "small.yaml").write_text(a_small_study())
        assert loopfront("study", "submit", str(tmp_path / "small.yaml"), *options).returncode == 0
        out = tmp_path / "none" / "report.html"
        done = loopfront("study", "report", "small", "--out", str(out), *options)
    assert done.returncode == 2
    assert str(out) in one_line(done.stderr)
    assert "--out" in done.stderr


def test_standard_input_that_is_not_utf_8_is_one_line() -> None:
    command = [*COMMAND, "study", "validate", "-"]
    done = subprocess.run(command, input=b"study: \xff", capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "save it as UTF-8" in one_line(done.stderr.decode())


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["measure", "CCA", "--threads", "0"], "--threads: 0 "),
        (["measure", "CCA", "--vocabulary", "1"], "--vocabulary: 1 "),
        (["measure", "CCA", "--embedding-ratio", "nan"], "--embedding-ratio: nan "),
        (["measure", "C" * 200], "NAME: "),
        (["measure", "CCA", "--parameters", "1" * 401], "--parameters: "),
        (["show", "CCA", "--parameters", "1e400"], "--parameters: '1e400'"),
        (["show", "CCA", "--parameters", "1e16"], "--parameters: '1e16'"),
        (["show", "CCA", "--parameters", "0"], "parameters: 0 "),
        (["show", "CCA", "--embedding-ratio", "nan"], "embedding_ratio: nan "),
        (["show", "lfm2-350m", "--vocabulary", "1000"], "vocabulary: 1000 "),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line_with_its_name(arguments: list[str], place: str) -> None:
    done = loopfront("arch", *arguments)
    assert done.returncode == 2
    assert one_line(done.stderr).startswith(f"loopfront: {place}")
    assert len(done.stderr) < 700


def test_the_version_is_the_same_in_a_checkout_and_in_an_installation() -> None:
    assert loopfront("version").stdout == f"loopfront {VERSION}\n"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "service.version.VERSION"}
    # Isolated, Python sees this folder's modules and no installed distribution's metadata.
    code = f"import sys; sys.path = [{str(Path(__file__).parents[2])!r}]; import service.version as v; print(v.VERSION)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{VERSION}\n", done.stderr


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_list_loses_nothing_in_a_narrow_terminal(tmp_path: Path, columns: str) -> None:
    name = "a-study-whose-name-is-as-long-as-a-name-may-be-0123456789"
    (tmp_path / "small.yaml").write_text(a_small_study(name))
    with up(tmp_path / "data"):
        options = ["--data-folder", str(tmp_path / "data")]
        assert loopfront("study", "submit", str(tmp_path / "small.yaml"), *options).returncode == 0
        done = loopfront("study", "list", *options, COLUMNS=columns, NO_COLOR="1")
    assert "…" not in done.stdout
    assert "\x1b" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= int(columns)
    assert "waiting" in done.stdout


def test_the_defaults_that_a_help_tells_are_shown() -> None:
    assert "(default: the host)" in loopfront("agent", "add-ssh", "--help", COLUMNS="200").stdout
