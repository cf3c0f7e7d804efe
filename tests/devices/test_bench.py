"""A device is made ready with what fits it: its own C library, or one that is pushed there."""

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from devices.bench import remote_bench
from devices.connection import CommandResult, Limits
from devices.errors import PlatformUnsupported, SupplyError
from devices.local import LocalConnection
from devices.measuring import measure
from devices.outcome import Measured
from devices.platforms import own_platform
from devices.supplies.store import Supplies
from tests.devices.shared_supplies import shared_supplies
from tests.devices.test_measuring import LENIENT, a_check, a_plan, graph_of


class WithCommands(LocalConnection):
    """This machine, some of whose commands answer as another's would."""

    def __init__(self, folder: Path, **scripts: str) -> None:
        self._folder = folder
        folder.mkdir()
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    def run(
        self, command: Sequence[str], limits: Limits, stop: threading.Event, standard_input: bytes = b""
    ) -> CommandResult:
        words = ["sh", "-c", 'PATH="$0:$PATH"; exec "$@"', str(self._folder), *command]
        return super().run(words, limits, stop, standard_input)


def an_old_machine(tmp_path: Path) -> WithCommands:
    getconf = shutil.which("getconf")
    old = f'if [ "$1" = GNU_LIBC_VERSION ]; then echo glibc 2.17; else exec {getconf} "$@"; fi'
    return WithCommands(tmp_path / "bin", getconf=old)


def test_a_machine_with_a_glibc_that_is_too_old_is_given_one_and_measured(tmp_path: Path) -> None:
    own = own_platform()
    if own is None or not own.name.startswith("linux-"):
        pytest.skip("only Linux has a glibc to be given")
    supplies = shared_supplies(own.name)
    root = str(tmp_path / "device")
    bench = remote_bench(an_old_machine(tmp_path), tmp_path / "cache", LENIENT, root, supplies)
    assert bench.glibc is not None
    assert bench.runner_command == (*bench.glibc.command, str(bench.runner.path))
    assert all(word.startswith(root) or word == "--library-path" for word in bench.runner_command)
    assert f"on glibc {bench.glibc.version} {bench.glibc.sha256[:12]}" in bench.description()["runtime"]
    outcome = measure(a_plan(check=a_check(tmp_path / "reference")), bench, graph_of())
    assert isinstance(outcome, Measured), outcome
    assert outcome.passport["pushed_glibc"] == {"version": bench.glibc.version, "sha256": bench.glibc.sha256}


def test_a_machine_with_a_glibc_that_will_do_uses_its_own(tmp_path: Path) -> None:
    root = str(tmp_path / "device")
    nothing = Supplies(tmp_path / "supplies", from_dir=tmp_path / "nowhere")
    bench = remote_bench(LocalConnection(), tmp_path / "cache", LENIENT, root, nothing)
    assert bench.glibc is None
    assert bench.runner_command == (str(bench.runner.path),)
    assert {path.name for path in Path(root).iterdir()} == {"library", "runner"}


def test_a_runner_that_does_not_start_is_told_with_its_reason_even_if_nothing_else_is_at_hand(
    tmp_path: Path,
) -> None:
    spoil = 'for last; do :; done; echo "#!/bin/false" >"$last"; exec /bin/chmod "$@"'
    spoilt = WithCommands(tmp_path / "bin", chmod=spoil)
    nothing = Supplies(tmp_path / "supplies", from_dir=tmp_path / "nowhere")
    with pytest.raises(
        SupplyError, match=r"with its own C library: .*; and another C library: .* is missing"
    ):
        remote_bench(spoilt, tmp_path / "cache", LENIENT, str(tmp_path / "device"), nothing)


def test_a_machine_that_nothing_exists_for_is_left_alone(tmp_path: Path) -> None:
    riscv = WithCommands(tmp_path / "bin", uname='if [ "$1" = -m ]; then echo riscv64; else echo Linux; fi')
    with pytest.raises(PlatformUnsupported, match="Linux on riscv64"):
        remote_bench(riscv, tmp_path / "cache", LENIENT, str(tmp_path / "device"))
    assert not (tmp_path / "device").exists()
