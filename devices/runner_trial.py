"""Lets the runner open the runtime's library on a device: only that proves that both start with what lies there."""

import posixpath
import secrets
import threading
from collections.abc import Sequence

from devices import remote_shell
from devices.connection import Connection, Limits
from devices.runner_plan import library_plan
from devices.runner_records import ProvenRun, judge_run

# Loading 35 MB from a slow disk takes seconds; the runner itself beats every 2 s.
_LIMITS = Limits(deadline_s=60.0, silence_s=20.0)


def trouble_of_the_library(
    connection: Connection, root: str, runner_command: Sequence[str], library_path: str
) -> str:
    """Return in words why the runner can't open the library, or nothing; raises ConnectionFault."""
    nonce = secrets.token_hex(8)
    path = posixpath.join(root, f"trial-{nonce}.txt")  # another agent or doctor may be trying too
    plan = library_plan(nonce, library_path, _LIMITS.deadline_s).encode()
    command = remote_shell.with_file(path, [*runner_command, path])
    try:
        result = connection.run(command, _LIMITS, threading.Event(), plan)
    finally:
        connection.remove(path)
    judged = judge_run(result, nonce, was_killed_for_memory=False)
    if isinstance(judged, ProvenRun):
        return ""
    told = result.errors.strip().splitlines()
    return f"{judged.reason} ({told[-1]})" if told else judged.reason
