"""`loopfront token`: the secrets that let other machines take part."""

import json as json_text
import shlex

import typer

from service.agent_token import read_agent_token
from service.commands.options import DataFolderOption, JsonOption
from service.data_folder import find_running
from service.settings import DEFAULT_PORT, load_settings
from service.version import VERSION

app = typer.Typer(no_args_is_help=True, help="Secrets that let other machines take part.")

_EVERYWHERE = frozenset({"0.0.0.0", "::"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@app.callback()
def tokens() -> None:
    """Secrets that let other machines take part."""


@app.command("agent")
def agent(data_folder: DataFolderOption = None, json: JsonOption = False) -> None:
    """Print the agent token of this machine's service, and the command that uses it on another machine."""
    folder = load_settings(data_folder=data_folder).data_folder
    token, running = read_agent_token(folder), find_running(folder)
    url = running.url if running is not None else ""
    is_reachable = running is not None and running.host not in _EVERYWHERE | _LOOPBACK
    server = (
        url
        if is_reachable
        else f"http://ADDRESS-OF-THIS-MACHINE:{running.port if running is not None else DEFAULT_PORT}"
    )
    command = f"loopfront agent --server {shlex.quote(server)} --token {token}"
    if json:
        typer.echo(json_text.dumps({"token": token, "server": url, "command": command}))
        return
    typer.echo(token)
    typer.echo("\non the machine that is to measure:")
    typer.echo(f"  pip install 'loopfront=={VERSION}'\n  {command}")
    if not is_reachable:
        typer.echo(
            "\nother machines reach this service only once it listens on this machine's own address: "
            "loopfront up --host ADDRESS"
        )
