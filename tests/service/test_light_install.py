"""What `pip install loopfront` brings to a lab host, and what it does without."""

import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from command_line import loopfront, one_line, port_of, token_for, up
from serving import a_small_study

import devices
from service.server_part import SERVER_MODULES

ROOT = Path(__file__).parents[2]
WITHOUT = [sys.executable, str(Path(__file__).with_name("without_server_part.py"))]
MODULES_OF_PACKAGES = {"prometheus-client": "prometheus_client", "pyyaml": "yaml"}
LIGHT_MODULES = [
    "service.cli",
    "service.client",
    "service.commands.agent",
    "reports.encoding",
    "reports.terminal",
]


def light(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `loopfront` where the server part is missing."""
    command = [*WITHOUT, "service.cli", *arguments]
    environment = {**os.environ, **token_for(arguments)}
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment, check=False)


def packages_of(extra: str | None) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {re.split(r"[^A-Za-z0-9_-]", requirement)[0] for requirement in wanted}


def test_every_package_of_the_server_part_is_named_as_such_and_none_of_the_light_part() -> None:
    assert {MODULES_OF_PACKAGES.get(name, name) for name in packages_of("server")} == SERVER_MODULES
    assert not packages_of(None) & SERVER_MODULES


def test_agent_client_and_commands_load_without_the_server_part() -> None:
    modules = [each.name for each in pkgutil.walk_packages(devices.__path__, "devices.")] + LIGHT_MODULES
    code = (
        "import sys\n"
        f"for name in {modules}: __import__(name)\n"
        f"print(sorted(set(sys.modules) & {set(SERVER_MODULES)}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    # PyYAML is no part of it: paramiko's own helper brings a copy and registers it under that name.
    assert done.stdout in {"[]\n", "['yaml']\n"}, done.stdout + done.stderr


def test_the_agents_commands_need_no_server_part(tmp_path: Path) -> None:
    shown = light("agent", "--help")
    assert shown.returncode == 0, shown.stderr
    done = light("agent", "doctor", "--folder", str(tmp_path), "--config", str(tmp_path / "agent.toml"))
    assert "agent.toml can't be read" in one_line(done.stderr)


def test_a_study_is_run_from_a_machine_without_the_server_part(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(a_small_study())
    with up(tmp_path / "data"):
        url = ("--url", f"http://127.0.0.1:{port_of(tmp_path / 'data')}")
        out = tmp_path / "small.html"
        for command in (
            ("study", "validate", str(tmp_path / "small.yaml")),
            ("study", "submit", str(tmp_path / "small.yaml")),
            ("study", "list"),
            ("study", "show", "small"),
            ("study", "enqueue", "small", "CCAA"),
            ("study", "report", "small", "--out", str(out)),
            ("study", "cancel", "small"),
            ("device", "list"),
        ):
            done = light(*command, *url)
            assert done.returncode == 0, (command, done.stderr)
    assert "small" in out.read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("up",),
        ("demo",),
        ("arch", "show", "lfm2-350m"),
        ("arch", "import", "config.json"),
        ("arch", "export", "lfm2-350m", "--out", "folder"),
    ],
)
def test_a_command_of_the_server_part_says_what_to_install(arguments: tuple[str, ...]) -> None:
    done = light(*arguments)
    assert done.returncode == 2
    assert one_line(done.stderr).endswith("type: pip install 'loopfront[server]'")


@pytest.mark.slow
def test_a_fresh_environment_with_the_wheel_alone_serves_a_machine(tmp_path: Path) -> None:
    """Needs a package index, as pip is set up to use."""
    wheel, python = a_wheel(tmp_path), tmp_path / "environment" / "bin" / "python"
    run(sys.executable, "-m", "venv", python.parents[1])
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    listed = json.loads(run(python, "-m", "pip", "list", "--format", "json"))
    installed = {each["name"].lower() for each in listed}
    assert {"loopfront", "paramiko", "adbutils"} <= installed
    assert not installed & (packages_of("server") - {"numpy"})  # onnxruntime's own package asks for numpy
    _registers_its_machine(str(python.with_name("loopfront")), tmp_path)


def a_wheel(folder: Path) -> Path:
    """Build the wheel of a copy; a build in the checkout would leave its files there."""
    for name in ("operators", "search", "devices", "reports", "service"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, folder / "source")
    (wheel,) = folder.glob("loopfront-*.whl")
    return wheel


def run(*command: str | Path) -> str:
    """Run a command that must go well, away from the checkout's own modules."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=elsewhere())
    assert done.returncode == 0, done.stderr
    return done.stdout


def elsewhere() -> dict[str, str]:
    """Give the environment of a user who has no checkout."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}


def _registers_its_machine(command: str, folder: Path) -> None:
    refused = subprocess.run(
        [command, "up"], capture_output=True, text=True, check=False, cwd=folder, env=elsewhere()
    )
    assert refused.returncode == 2
    assert "pip install 'loopfront[server]'" in one_line(refused.stderr)
    with up(folder / "data"):
        url = f"http://127.0.0.1:{port_of(folder / 'data')}"
        arguments = ["agent", "--server", url, "--name", "lab", "--folder", str(folder / "agent")]
        agent = subprocess.Popen([command, *arguments], cwd=folder, env=elsewhere())
        try:
            deadline_s = time.monotonic() + 60
            while "lab" not in loopfront("device", "list", "--url", url, "--json").stdout:
                assert agent.poll() is None
                assert time.monotonic() < deadline_s
        finally:
            agent.terminate()
            assert agent.wait(timeout=20) == 0
