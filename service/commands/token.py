"""`loopfront token`: what lets people, programs and other machines take part."""

import json as json_text
import shlex
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from service.api.schemas import TokenGiven, TokenOut
from service.commands.listing import listing
from service.commands.options import DataFolderOption, JsonOption, UrlOption, client_of
from service.data_folder import find_running
from service.settings import DEFAULT_PORT, load_settings
from service.version import VERSION

app = typer.Typer(no_args_is_help=True, help="What lets people, programs and other machines take part.")

_EVERYWHERE = frozenset({"0.0.0.0", "::"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@app.command("agent")
def agent(url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False) -> None:
    """Print the command that lets one other machine measure; its code counts once, within the hour."""
    with client_of(url, data_folder) as client:
        code, address = client.make_enrolment().code, client.url
    running = find_running(load_settings(data_folder=data_folder).data_folder, settle_s=0.0)
    is_own = running is not None and running.url == address
    is_reachable = not (is_own and running is not None and running.host in _EVERYWHERE | _LOOPBACK)
    port = running.port if is_own and running is not None else DEFAULT_PORT
    server = address if is_reachable else f"http://ADDRESS-OF-THIS-MACHINE:{port}"
    command = f"loopfront agent --server {shlex.quote(server)} --token {code}"
    if json:
        typer.echo(json_text.dumps({"token": code, "server": address, "command": command}))
        return
    typer.echo("on the machine that is to measure:")
    typer.echo(f"  pip install 'loopfront=={VERSION}'\n  {command}")
    typer.echo("\nthe code counts once, within the hour; the agent gets a token of its own for it")
    if not is_reachable:
        typer.echo(
            "other machines reach this service only once it listens on this machine's own address: "
            "loopfront up --host ADDRESS"
        )


class UserScope(StrEnum):
    """What a token may be given; typer takes choices as enumerations only."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    DEVICE_OWNER = "device-owner"
    ADMIN = "admin"


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="For whom or what it is.")],
    scopes: Annotated[
        list[UserScope] | None,
        typer.Option("--scope", help="What it may; may be repeated. (default: submitter)"),
    ] = None,
    days: Annotated[float, typer.Option("--days", min=0.01, max=3650, help="After which it ends.")] = 90.0,
    for_ever: Annotated[bool, typer.Option("--for-ever", help="It never ends.")] = False,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Make a token, and print it: nobody can read it again."""
    given = TokenGiven(
        name=name,
        scopes=[each.value for each in scopes or [UserScope.SUBMITTER]],
        days=None if for_ever else days,
    )
    with client_of(url, data_folder) as client:
        made = client.create_token(given)
    if json:
        typer.echo(made.model_dump_json())
        return
    typer.echo(made.token)
    typer.echo(
        f"\n{made.name} may act as {', '.join(made.scopes)}; to use it: loopfront login --url ADDRESS",
        err=True,
    )


@app.command("list")
def list_tokens(
    url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """List tokens, ended ones too; never the tokens themselves."""
    with client_of(url, data_folder) as client:
        tokens = client.tokens()
    if json:
        typer.echo(json_text.dumps([each.model_dump(mode="json") for each in tokens]))
        return
    table = listing("id", "name", "may act as", "made", "last used", "ends")
    for each in tokens:
        used = f"{each.last_used_at:%Y-%m-%d %H:%M}" if each.last_used_at else "never"
        scopes = ", ".join(each.scopes) or "enrolment"
        table.add_row(
            *map(Text, (each.id, each.name, scopes, f"{each.created_at:%Y-%m-%d}", used, _end(each)))
        )
    Console().print(table)


@app.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(help="As `loopfront token list` shows it.")],
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """End a token, and the browser sessions that were begun with it."""
    with client_of(url, data_folder) as client:
        ended = client.revoke_token(token_id)
    typer.echo(ended.model_dump_json() if json else f"{ended.name}: revoked")


def _end(token: TokenOut) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if token.used_up_at is not None:
        return "used"
    return f"{token.expires_at:%Y-%m-%d}" if token.expires_at else "never"
