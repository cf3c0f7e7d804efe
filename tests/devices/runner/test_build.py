"""Building the runner: once per recipe, with what there is, and a clear word if there is nothing."""

import importlib.util
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devices.errors import BuildError
from devices.platforms import PLATFORMS, Platform, own_glibc, own_platform
from devices.runner.build import build_runner, build_runner_for, compilers_for, local_compilers


def test_the_runner_is_built_once_and_then_found(tmp_path: Path) -> None:
    first = build_runner(tmp_path)
    written_at = first.path.stat().st_mtime_ns
    assert build_runner(tmp_path) == first
    assert first.path.stat().st_mtime_ns == written_at
    assert first.path.stat().st_mode & stat.S_IXUSR


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    assert build_runner(tmp_path / "one").sha256 == build_runner(tmp_path / "two").sha256


def test_a_compiler_that_fails_makes_way_for_the_next(tmp_path: Path) -> None:
    good = local_compilers()[0]
    assert build_runner(tmp_path, [["false"], ["/no/such/cc"], good]).compiler == " ".join(good)


def test_without_any_compiler_the_message_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"there is no C compiler.*pip install 'loopfront\[compiler\]'"):
        build_runner(tmp_path, [])


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="false: exit status 1"):
        build_runner(tmp_path, [["false"]])
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match=r"Not a directory|File exists"):
        build_runner(tmp_path / "file" / "cache")


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed")
@pytest.mark.parametrize(
    "platform",
    [
        pytest.param(platform, id=platform.name, marks=[pytest.mark.slow] * (platform.name == "linux-x86_64"))
        for platform in PLATFORMS.values()
    ],
)
def test_ziglang_builds_the_runner_for_each_platform_and_twice_the_same_bytes(
    platform: Platform, tmp_path: Path
) -> None:
    first = build_runner_for(platform, None, tmp_path / "one")
    assert build_runner_for(platform, None, tmp_path / "two").sha256 == first.sha256
    assert "ziglang" in first.compiler
    assert kind_of_program(first.path.read_bytes()) == platform.name


def kind_of_program(program: bytes) -> str:
    """Read the kind of machine from a program's own header."""
    if program.startswith(b"\x7fELF"):
        return {62: "linux-x86_64", 183: "linux-aarch64"}[int.from_bytes(program[18:20], "little")]
    assert program[:8] == bytes.fromhex("cffaedfe0c000001")  # Mach-O of 64 bits for ARM
    return "macos-arm64"


def test_the_machines_own_compiler_builds_only_for_a_glibc_that_is_no_older_than_its_own() -> None:
    platform, glibc = own_platform(), own_glibc()
    if platform is None or glibc is None:
        pytest.skip("this machine has no glibc that the runner is built for")
    own = local_compilers()[0]
    assert compilers_for(platform, glibc)[0] == own
    assert compilers_for(platform, (99, 0))[0] == own
    assert own not in compilers_for(platform, (2, 0))
    assert own not in compilers_for(platform, None)


def test_the_runner_refuses_to_start_without_a_plan(tmp_path: Path) -> None:
    done = subprocess.run([build_runner(tmp_path).path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert '"kind": "fault", "reason": "usage: runner PLAN"' in done.stdout


def test_importing_the_build_needs_no_heavy_library() -> None:
    code = (
        "import devices.runner.build, sys; print([m for m in ('numpy', 'torch', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
