"""`loopfront login`, `logout`, `link`: tokens of services elsewhere, and links that open pages."""

import sys
from typing import Annotated

import typer

from service.client import Client
from service.commands.options import DataFolderOption, UrlOption, client_of, service_url
from service.errors import BadInput
from service.kept_tokens import keep_token


def login(
    url: Annotated[str, typer.Option("--url", help="The service, such as https://loopfront.example.org.")],
) -> None:
    """Keep a token for a service elsewhere; it is asked for, or read from standard input."""
    token = typer.prompt("Token", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not (token := token.strip()):
        raise BadInput(
            "no token was given", field="TOKEN", hint="paste what `loopfront token create` printed"
        )
    with Client(url, token) as client:
        known = client.who_am_i()
    keep_token(url, token)
    typer.echo(f"{url}: logged in as {known['name']} ({', '.join(map(str, known['scopes']))})")


def logout(url: Annotated[str, typer.Option("--url", help="The service.")]) -> None:
    """Forget the token for a service elsewhere."""
    keep_token(url, "")
    typer.echo(f"{url}: logged out")


def link(url: UrlOption = None, data_folder: DataFolderOption = None) -> None:
    """Print a link that opens the pages in a browser; it counts once, within a quarter of an hour."""
    with client_of(url, data_folder) as client:
        typer.echo(f"{service_url(url, data_folder).rstrip('/')}{client.make_link().path}")
