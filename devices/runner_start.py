"""Starts the runner on a device with a plan, in one command, and tells what came of it."""

import secrets
import threading
from collections.abc import Callable, Sequence

from devices import remote_shell
from devices.bench import Bench
from devices.connection import CommandResult, Limits
from devices.errors import ConnectionFault

GRACE_S = 15.0
"""The runner waits up to 8 s for its turn and ends itself at its deadline; this much after that it is killed."""


def run_plan(
    bench: Bench,
    plan_text: Callable[[str], str],
    deadline_s: float,
    stop: threading.Event,
    command: Callable[[Sequence[str]], list[str]] = list,
) -> tuple[CommandResult, str]:
    """Run the runner on the plan that `plan_text` makes of a nonce; return the result and the nonce.

    `command` may put words before the runner's. Raises ConnectionFault if the device is lost or did not start it.
    """
    nonce, path = secrets.token_hex(8), bench.folder.plan_path
    words = remote_shell.with_file(path, command([*bench.runner_command, path]))
    limits = Limits(deadline_s + GRACE_S, bench.silence_s)
    result = bench.connection.run(words, limits, stop, plan_text(nonce).encode())
    if result.status in remote_shell.NOT_STARTED:
        raise ConnectionFault(f"{remote_shell.NOT_STARTED[result.status]}: {result.errors.strip()}")
    return result, nonce
