"""The shell commands with which a device on the other end of a line is worked, and how their proof is read.

They ask for nothing but a POSIX shell with mkdir, cat, mv, rm, ls, kill, cut and sha256sum, as Android's has too, or
shasum, as macOS has.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

# A mark of our own frames the command's complaints: first the process group, last the status. The far end of a line
# that broke sends no status, whatever the transport says. The shell waits for the command, so that it sees a signal.
_FRAME = """echo "$0 group $$" >&2
command -v "$1" >/dev/null 2>&1 || { echo "$0 missing" >&2; exit; }
"$@"
echo "$0 status $?" >&2"""

# macOS may lack sha256sum.
_SHA256 = """sha256() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }
"""

# It outlives its line for a moment, to tidy up: a shell that dies of a signal runs no trap.
_PUSH = """trap '' HUP PIPE
trap 'rm -f -- "$2"' EXIT
trap 'exit 1' TERM
[ -d "$3" ] && { echo "is a folder" >&2; exit 1; }
mkdir -p -- "$1" && cat >"$2" || exit 1
[ "$(sha256 <"$2" | cut -c -64)" = "$4" ] || { echo "what arrived is not what was sent" >&2; exit 1; }
mv -f -- "$2" "$3" """

_DIGESTS = """cd -- "$1" 2>/dev/null || exit 0
shift
for name; do [ -f "$name" ] && sha256 "./$name"; done"""

# What arrives cut off must show that itself, as a runner's plan does: here only writing it is sure to have worked.
_WITH_FILE = """mkdir -p -- "${0%/*}" && cat >"$0" || exit 73
exec "$@" """

NOT_STARTED = {
    73: "what the command was to read cannot be written",
    126: "the command cannot be executed",
    127: "the command is not there",
}
"""What a status of `with_file` says instead of the command itself."""

_FIRST_SIGNAL = 128


@dataclass(frozen=True)
class Framed:
    """What the frame around a command tells; None where it has not arrived."""

    group: int | None
    status: int | None
    is_missing: bool
    errors: str


def framed(command: Sequence[str], mark: str) -> str:
    """Return one line for the login shell, whichever it is, that runs the words of `command` as they are."""
    return shlex.join(["exec", "sh", "-c", _FRAME, mark, *command])


def read_frame(errors: str, mark: str) -> Framed:
    """Take the frame off what came over the error stream; a status above 128 is that of a signal."""
    group = re.search(rf"^{mark} group (\d+)\n", errors)
    status = re.search(rf"{mark} status (\d+)\n\Z", errors)
    number = int(status.group(1)) if status else None
    if number is not None and number > _FIRST_SIGNAL:
        number = _FIRST_SIGNAL - number
    return Framed(
        group=int(group.group(1)) if group else None,
        status=number,
        is_missing=f"{mark} missing\n" in errors,
        errors=errors[group.end() if group else 0 : status.start() if status else None],
    )


def kill_group(group: int) -> list[str]:
    """Return the command that ends a process group at once."""
    return ["kill", "-9", f"-{group}"]  # no "--": busybox takes it for a process


def push(folder: str, temporary: str, path: str, sha256: str) -> list[str]:
    """Return the command that writes its standard input to `path`, whole or not at all."""
    return ["sh", "-c", _SHA256 + _PUSH, "push", folder, temporary, path, sha256]


def with_file(path: str, command: Sequence[str]) -> list[str]:
    """Return the command that writes its standard input to `path` and becomes `command`, all in one go."""
    return ["sh", "-c", _WITH_FILE, path, *command]


def digests(folder: str, file_names: Sequence[str]) -> list[str]:
    """Return the command that prints digest and name of each of these files that is there."""
    return ["sh", "-c", _SHA256 + _DIGESTS, "digests", folder, *file_names]


def read_digests(lines: Sequence[str]) -> dict[str, str]:
    """Return the digest by name of what `digests` printed."""
    found = (re.fullmatch(r"([0-9a-f]{64}) [ *]\./(.+)", line) for line in lines)
    return {match[2]: match[1] for match in found if match}


def names(folder: str) -> list[str]:
    """Return the command that prints the names in a folder, and nothing where there is none."""
    return ["sh", "-c", 'cd -- "$1" 2>/dev/null && ls -A1', "names", folder]


def remove(path: str) -> list[str]:
    """Return the command that removes a file or a folder with everything in it."""
    return ["rm", "-rf", "--", path]
