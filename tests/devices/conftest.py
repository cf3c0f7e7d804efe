"""Build the runner once for all tests of this folder."""

from pathlib import Path

import pytest

from devices.runner.build import BuiltRunner, build_runner


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> BuiltRunner:
    cache: Path = tmp_path_factory.mktemp("runner")
    return build_runner(cache)
