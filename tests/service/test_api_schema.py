"""Schemathesis over the whole API: whatever is sent, the service never stumbles."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import a_service, a_small_study, agent_headers

# Streams don't end, and a lease may be waited for: they have tests of their own.
ENDLESS = r"/(events|lease)$"
AGENTS = r"^/api/v1/(agents|jobs|blobs|examinations)"
EXAMPLES, MANY_EXAMPLES = "4", "30"


@pytest.mark.parametrize(
    "examples", [EXAMPLES, pytest.param(MANY_EXAMPLES, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])]
)
def test_nothing_that_is_sent_makes_the_service_stumble(tmp_path: Path, examples: str) -> None:
    with a_service(tmp_path / "data") as running, running.client() as client:
        client.submit_study(a_small_study("small"))
        for headers, choice in (
            (running.owner_headers, ("--exclude-path-regex", f"{ENDLESS}|{AGENTS}")),
            (agent_headers(running.url), ("--exclude-path-regex", ENDLESS, "--include-path-regex", AGENTS)),
        ):
            shown = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
            command = [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/api/v1/openapi.json"),
                *("--checks", "not_a_server_error", "--max-examples", examples, "--generation-deterministic"),
                *("--suppress-health-check", "all", "--no-color", *choice, *shown),
            ]
            found = subprocess.run(
                command,
                capture_output=True,
                text=True,
                cwd=tmp_path,
                timeout=700,
                env=os.environ,
                check=False,
            )
            assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
            assert "passed" in found.stdout
