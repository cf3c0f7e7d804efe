"""`loopfront webhook`: who is told when a study ends or a device is quarantined."""

import json as json_text
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from service.api.schemas import WebhookGiven
from service.commands.listing import listing
from service.commands.options import DataFolderOption, JsonOption, UrlOption, client_of

app = typer.Typer(no_args_is_help=True, help="Who is told when a study ends or a device is quarantined.")


class Kind(StrEnum):
    """What may be told; typer takes choices as enumerations only."""

    STUDY_FINISHED = "study.finished"
    STUDY_FAILED = "study.failed"
    DEVICE_QUARANTINED = "device.quarantined"


IdArgument = Annotated[str, typer.Argument(help="As `loopfront webhook list` shows it.")]


@app.command("add")
def add(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The URL to send to: https://...")],
    kinds: Annotated[
        list[Kind] | None, typer.Option("--on", help="What to tell; may be repeated. (default: everything)")
    ] = None,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Have a URL told; prints the secret of its signatures, which nobody can read again."""
    given = WebhookGiven(url=target, kinds=[each.value for each in kinds or Kind])
    with client_of(url, data_folder) as client:
        made = client.add_webhook(given)
    if json:
        typer.echo(made.model_dump_json())
        return
    typer.echo(made.secret)
    typer.echo(f"\n{made.id} tells {made.url} of {', '.join(made.kinds)}; to try it:", err=True)
    typer.echo(f"  loopfront webhook test {made.id}", err=True)


@app.command("list")
def list_webhooks(
    url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """List webhooks and how the last request went."""
    with client_of(url, data_folder) as client:
        found = client.webhooks()
    if json:
        typer.echo(json_text.dumps([each.model_dump(mode="json") for each in found]))
        return
    table = listing("id", "url", "on", "last answer")
    for each in found:
        answer = "given up: " * (each.given_up_at is not None) + (each.last_answer or "nothing to tell yet")
        table.add_row(*map(Text, (each.id, each.url, ", ".join(each.kinds), answer)))
    Console().print(table)


@app.command("remove")
def remove(
    webhook_id: IdArgument,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Tell a URL nothing more."""
    with client_of(url, data_folder) as client:
        removed = client.remove_webhook(webhook_id)
    typer.echo(removed.model_dump_json() if json else f"{removed.url}: told nothing more")


@app.command("test")
def test(
    webhook_id: IdArgument,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Send a test message; ends with code 1 where it was not taken."""
    with client_of(url, data_folder) as client:
        tested = client.test_webhook(webhook_id)
    typer.echo(tested.model_dump_json() if json else tested.answer)
    if not tested.told:
        raise typer.Exit(1)
