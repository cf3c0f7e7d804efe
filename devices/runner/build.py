"""Build the runner on demand, for this machine or another, with the machine's own C compiler or with ziglang."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devices.errors import BuildError
from devices.platforms import Platform, own_glibc, own_platform

SOURCE = Path(__file__).with_name("runner.c")

# -ffp-contract=off: a fused multiply-add would round pool values differently from one processor to the next.
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-ffp-contract=off", "-s")
LIBRARIES = ("-ldl", "-lpthread")

WAY_OUT = (
    "install one (Debian and Ubuntu: apt install gcc libc6-dev), or type: pip install 'loopfront[compiler]'"
)


@dataclass(frozen=True)
class BuiltRunner:
    """A runner that is ready to be started or pushed."""

    path: Path
    sha256: str
    compiler: str


def build_runner(cache_folder: Path, compilers: Sequence[Sequence[str]] | None = None) -> BuiltRunner:
    """Return the runner for this machine, built at the first call and found in `cache_folder` afterwards.

    `compilers` are command prefixes to try in turn; by default the local `cc`, then ziglang.
    Raises BuildError, saying what to type, if there is none or if all of them fail.
    """
    complaints = []
    for compiler in local_compilers() if compilers is None else compilers:
        path = cache_folder / f"runner-{_digest(compiler)}"
        complaint = None if _is_whole(path) else _compile(compiler, path)
        if complaint is None:
            return BuiltRunner(path, hashlib.sha256(path.read_bytes()).hexdigest(), " ".join(compiler))
        complaints.append(f"{' '.join(compiler)}: {complaint}")
    reason = "; ".join(complaints) or "there is no C compiler"
    raise BuildError(f"the runner cannot be built: {reason}. To mend it, {WAY_OUT}")


def build_runner_for(platform: Platform, glibc: tuple[int, int] | None, cache_folder: Path) -> BuiltRunner:
    """Return the runner for a machine of another kind, or of this one with the C library that lies there.

    Raises BuildError, saying what to type, if no compiler here can make it.
    """
    compilers = compilers_for(platform, glibc)
    if not compilers:
        raise BuildError(
            f"no compiler here builds the runner for {platform.name}; type: pip install 'loopfront[compiler]'"
        )
    return build_runner(cache_folder, compilers)


def local_compilers() -> list[list[str]]:
    """Return the compilers of this machine, best first."""
    own = own_platform()
    return _own_compiler() + (zig_compilers(own) if own else [])


def compilers_for(platform: Platform, glibc: tuple[int, int] | None) -> list[list[str]]:
    """Return the compilers whose programs run on `platform` with that glibc, best first."""
    own = own_glibc()
    # What is linked here asks for the symbols of our glibc, which an older one lacks.
    runs_there = own is None or (glibc is not None and own <= glibc)
    return (_own_compiler() if platform == own_platform() and runs_there else []) + zig_compilers(platform)


def zig_compilers(platform: Platform) -> list[list[str]]:
    """Return ziglang's command for a platform, if it is installed; it builds for the oldest glibc that will do."""
    if importlib.util.find_spec("ziglang") is None:
        return []
    return [[sys.executable, "-m", "ziglang", "cc", "-target", platform.zig_target]]


def _own_compiler() -> list[list[str]]:
    return [[path] for name in ("cc", "gcc", "clang") if (path := shutil.which(name))][:1]


def _digest(compiler: Sequence[str]) -> str:
    recipe = "\0".join([*compiler, *FLAGS, *LIBRARIES])
    return hashlib.sha256(SOURCE.read_bytes() + recipe.encode()).hexdigest()[:16]


def _is_whole(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _compile(compiler: Sequence[str], path: Path) -> str | None:
    """Compile to a temporary name and rename, so that half a runner is never found; return a complaint."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            output = Path(scratch) / "runner"
            complaint = _run_compiler(
                [*compiler, *FLAGS, str(SOURCE), "-o", str(output), *LIBRARIES], scratch
            )
            if complaint is None:
                # A name without its content would be taken for the runner for ever.
                with output.open("rb") as built:
                    os.fsync(built.fileno())
                output.replace(path)
            return complaint
    except OSError as error:
        return str(error)


def _run_compiler(command: Sequence[str], scratch: str) -> str | None:
    # zig would otherwise keep a cache of its own under HOME.
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": scratch, "ZIG_LOCAL_CACHE_DIR": scratch}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    if done.returncode == 0:
        return None
    return done.stderr.strip()[-500:] or f"exit status {done.returncode}"
