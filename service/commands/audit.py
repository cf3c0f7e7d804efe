"""`loopfront audit`: who did what, and whether a line was changed since."""

import json as json_text
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from service.commands.listing import listing
from service.commands.options import DataFolderOption, JsonOption, UrlOption, client_of

app = typer.Typer(no_args_is_help=True, help="Who did what, and whether a line was changed since.")


@app.command("list")
def list_lines(
    newest: Annotated[int, typer.Option("--newest", min=1, max=200, help="How many.")] = 50,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """List what was asked for, and how it was answered."""
    with client_of(url, data_folder) as client:
        lines = client.audit(newest)
    if json:
        typer.echo(json_text.dumps([each.model_dump(mode="json") for each in lines]))
        return
    table = listing("", "at", "who", "did", "to", "answer", "from")
    for each in lines:
        cells = (each.actor, each.action, each.subject, str(each.status), each.address)
        table.add_row(*map(Text, (str(each.number), f"{each.at:%Y-%m-%d %H:%M:%S}", *cells)))
    Console().print(table)


@app.command("verify")
def verify(url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False) -> None:
    """Check every line; a log that was changed ends with code 1."""
    with client_of(url, data_folder) as client:
        found = client.verify_audit()
    if json:
        typer.echo(found.model_dump_json())
    elif found.intact:
        typer.echo(f"{found.lines} lines, all as they were written; the newest has the hash {found.head}")
        typer.echo("note both elsewhere: lines that are cut off at the end leave no trace in the log itself")
    else:
        typer.echo(
            f"line {found.first_broken} is not as it was written; the {found.lines} lines before it are"
        )
    if not found.intact:
        raise typer.Exit(1)
