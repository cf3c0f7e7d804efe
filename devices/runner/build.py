"""Build the runner on demand, with the machine's own C compiler or with ziglang."""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devices.errors import BuildError

SOURCE = Path(__file__).with_name("runner.c")

# -ffp-contract=off: a fused multiply-add would round pool values differently from one processor to the next.
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-ffp-contract=off", "-s")
LIBRARIES = ("-ldl", "-lpthread")

# The oldest glibc that ONNX Runtime's own wheels run on.
GLIBC_VERSION = "2.28"

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
        complaint = None if path.exists() else _compile(compiler, path)
        if complaint is None:
            return BuiltRunner(path, hashlib.sha256(path.read_bytes()).hexdigest(), " ".join(compiler))
        complaints.append(f"{' '.join(compiler)}: {complaint}")
    reason = "; ".join(complaints) or "there is no C compiler"
    raise BuildError(f"the runner cannot be built: {reason}. To mend it, {WAY_OUT}")


def local_compilers() -> list[list[str]]:
    """Return the compilers of this machine, best first."""
    found = [[path] for name in ("cc", "gcc", "clang") if (path := shutil.which(name))][:1]
    if importlib.util.find_spec("ziglang"):
        found.append(zig_compiler(platform.machine()))
    return found


def zig_compiler(machine: str) -> list[str]:
    """Return ziglang's command for a Linux machine of that kind, such as x86_64 or aarch64."""
    return [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.{GLIBC_VERSION}"]


def _digest(compiler: Sequence[str]) -> str:
    recipe = "\0".join([*compiler, *FLAGS, *LIBRARIES])
    return hashlib.sha256(SOURCE.read_bytes() + recipe.encode()).hexdigest()[:16]


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
