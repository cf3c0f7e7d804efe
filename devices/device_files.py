"""Read small text files of a device, and what commands tell that not every device has, many at once."""

import shlex
import threading
from collections.abc import Iterable, Sequence

from devices.connection import Connection, Limits

_LIMITS = Limits(deadline_s=20.0, silence_s=20.0)
_SLOW_LIMITS = Limits(deadline_s=60.0, silence_s=20.0)
"""Android's dumpsys takes seconds on a busy phone, and gives a service up by itself after 10 s."""

_MARK = "==> loopfront "
_COMMAND = "$ "

# Globs are left to the device's shell: only it knows which sensors there are.
_SCRIPT = """for f in {patterns}; do
  [ -r "$f" ] && [ -f "$f" ] && echo "{mark}$f" && cat "$f" 2>/dev/null && echo
done"""
_ASK = "command -v {program} >/dev/null 2>&1 && {{ echo {heading}; {command} 2>/dev/null; echo; }}"


def said(*command: str) -> str:
    """Return the key under which `read_files` tells what a command prints."""
    return _COMMAND + shlex.join(command)


def read_files(
    connection: Connection, patterns: Iterable[str], commands: Iterable[Sequence[str]] = ()
) -> dict[str, str]:
    """Return the stripped text of every readable file that matches one of the shell `patterns`.

    What `commands` print, of those that the device has, is told by their keys (see `said`). One that hangs loses only
    itself and those after it.
    """
    quoted = " ".join(_quoted_but_globs(pattern) for pattern in patterns)
    asked = list(commands)
    steps = [_SCRIPT.format(patterns=quoted, mark=_MARK), *(_asking(words) for words in asked)]
    script = "\n".join(steps)
    result = connection.run(["sh", "-c", script], _SLOW_LIMITS if asked else _LIMITS, threading.Event())
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


def _asking(words: Sequence[str]) -> str:
    heading = shlex.quote(_MARK + said(*words))
    return _ASK.format(program=shlex.quote(words[0]), heading=heading, command=shlex.join(words))


def _quoted_but_globs(pattern: str) -> str:
    return "*".join(shlex.quote(part) if part else "" for part in pattern.split("*"))
