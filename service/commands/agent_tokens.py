"""Finds the agent token that a command means, and keeps one that was typed out of the process list."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from devices.agent_token import ENVIRONMENT, AgentToken, store_token
from devices.errors import DeviceError
from service.data_folder import RunningService, find_running
from service.errors import BadInput
from service.secret_files import agent_token_path
from service.settings import load_settings


def usual_token_file(server: str) -> Path:
    """Where the token for a service is kept that was typed: one is never shown to another service."""
    return Path.home() / ".config" / "loopfront" / "agent-tokens" / quote(server.rstrip("/"), safe="")


def store_and_run_again(token: str, server: str) -> None:
    """Keep a token that was typed in its file, and run this command again without it: arguments can be read by all."""
    file = usual_token_file(server)
    try:
        store_token(token, file)
    except DeviceError as error:
        raise BadInput(str(error), field="--token") from None
    # What was typed must win over a variable that happens to be set.
    os.environ.pop(ENVIRONMENT, None)
    os.execv(sys.executable, [sys.executable, *without_token(sys.orig_argv[1:], file)])


def without_token(arguments: Sequence[str], file: Path) -> list[str]:
    """Replace `--token T` by the option that names the file it was kept in."""
    kept, is_value = [], False
    for argument in arguments:
        if is_value:
            is_value = False
        elif argument == "--token":
            kept += ["--token-file", str(file)]
            is_value = True
        elif argument.startswith("--token="):
            kept += ["--token-file", str(file)]
        else:
            kept.append(argument)
    return kept


def token_file(given: Path | None, server: str, data_folder: Path | None) -> Path | None:
    """Find the token's file: the one given, that of a service of this machine and user, or the one kept.

    None where the environment holds the token, or nobody knows one: the service then says what to do.
    """
    if given is not None or os.environ.get(ENVIRONMENT) is not None:
        return given
    running = own_service(data_folder)
    if running is not None and running.url == server.rstrip("/").replace("//localhost:", "//127.0.0.1:"):
        return agent_token_path(load_settings(data_folder=data_folder).data_folder)
    kept = usual_token_file(server)
    return kept if kept.exists() else None


def own_service(data_folder: Path | None) -> RunningService | None:
    """Find the service that runs on this machine's data folder."""
    return find_running(load_settings(data_folder=data_folder).data_folder, settle_s=0.0)


def token_of(given: Path | None, server: str, data_folder: Path | None) -> AgentToken | None:
    """Give the token that `token_file` finds, or that of the environment."""
    found = token_file(given, server, data_folder)
    if found is not None:
        return AgentToken(found)
    from_environment = os.environ.get(ENVIRONMENT)
    return AgentToken(token=from_environment) if from_environment is not None else None
