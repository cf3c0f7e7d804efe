"""Read small text files of a device, many in one command."""

import shlex
import threading
from collections.abc import Iterable

from devices.connection import Connection, Limits

_LIMITS = Limits(deadline_s=20.0, silence_s=20.0)
_MARK = "==> loopfront "

# Globs are left to the device's shell: only it knows which sensors there are.
_SCRIPT = """for f in {patterns}; do
  [ -r "$f" ] && [ -f "$f" ] && echo "{mark}$f" && cat "$f" 2>/dev/null && echo
done"""


def read_files(connection: Connection, patterns: Iterable[str]) -> dict[str, str]:
    """Return the stripped text of every readable file that matches one of the shell `patterns`."""
    quoted = " ".join(_quoted_but_globs(pattern) for pattern in patterns)
    script = _SCRIPT.format(patterns=quoted, mark=_MARK)
    result = connection.run(["sh", "-c", script], _LIMITS, threading.Event())
    texts: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in result.lines:
        if line.startswith(_MARK):
            lines = texts.setdefault(line.removeprefix(_MARK), [])
        else:
            lines.append(line)
    return {path: "\n".join(lines).strip() for path, lines in texts.items()}


def ask(connection: Connection, *command: str) -> str | None:
    """Return what a short command prints, or None if it cannot or prints nothing."""
    result = connection.run(["sh", "-c", f"{shlex.join(command)} 2>/dev/null"], _LIMITS, threading.Event())
    return "\n".join(result.lines).strip() or None


def _quoted_but_globs(pattern: str) -> str:
    return "*".join(shlex.quote(part) if part else "" for part in pattern.split("*"))
