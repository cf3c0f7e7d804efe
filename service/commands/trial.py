"""`loopfront trial`: look at one trial of a study."""

from typing import Annotated

import typer

from service.client import Client
from service.commands.attempts import chosen, print_attempts
from service.commands.options import DataFolderOption, JsonOption, UrlOption, service_url
from service.errors import BadInput

app = typer.Typer(no_args_is_help=True, help="Look at one trial of a study.")

TrialArgument = Annotated[str, typer.Argument(help="A study and the trial's number, such as pocket/12.")]


@app.command("log")
def log(
    trial: TrialArgument,
    attempt: Annotated[
        int | None, typer.Option("--attempt", help="Only this one; the first is 1. (default: all)")
    ] = None,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show every attempt at measuring a trial, with the log of what ran."""
    study, slash, number = trial.rpartition("/")
    if not (slash and study and number.isdecimal() and len(number) < 10):
        raise BadInput(
            f"{trial!r} can't be used", field="TRIAL", hint="name a study and a number, as in pocket/12"
        )
    with Client(service_url(url, data_folder)) as client:
        attempts = client.trial_attempts(study, int(number))
    print_attempts(
        chosen(attempts, attempt),
        json,
        f"{trial}: nothing was measured for it yet",
        first_number=attempt or 1,
    )
