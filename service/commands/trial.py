"""`loopfront trial`: list a study's trials, look at one, measure it again, add a quality found elsewhere."""

import json as json_text
from math import isfinite
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from service.api.schemas import QualityGiven, TrialDetailOut, TrialOut
from service.commands.attempts import chosen, print_attempts
from service.commands.listing import listing
from service.commands.options import DataFolderOption, JsonOption, UrlOption, client_of
from service.errors import BadInput

app = typer.Typer(no_args_is_help=True, help="Trials of a study: list, look at one, measure one again.")

TrialArgument = Annotated[str, typer.Argument(help="A study and the trial's number, such as pocket/12.")]


@app.command("list")
def list_trials(
    study: Annotated[str, typer.Argument(help="The study's name.")],
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only trials in this state; may be repeated.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="trial, enqueued or reference; may be repeated.")
    ] = None,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """List a study's trials by number."""
    with client_of(url, data_folder) as client:
        trials = client.trials(study, state or (), kind or ())
    if json:
        typer.echo(json_text.dumps([trial.model_dump(mode="json") for trial in trials]))
        return
    table = listing("", "kind", "state", "layout", "values")
    for trial in trials:
        name = trial.label or trial.kind
        table.add_row(*map(Text, (f"#{trial.number}", name, trial.state, trial.layout, _values(trial))))
    Console().print(table)


@app.command("show")
def show(
    trial: TrialArgument,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show what is known of a trial; --json has every raw sample and the passport."""
    study, number = _parted(trial)
    with client_of(url, data_folder) as client:
        _print(client.trial(study, number), json)


@app.command("remeasure")
def remeasure(
    trial: TrialArgument,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Measure a trial once more; one that failed is run again."""
    study, number = _parted(trial)
    with client_of(url, data_folder) as client:
        _print(client.remeasure(study, number), json)


@app.command("quality")
def quality(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    trial: TrialArgument,
    metric: Annotated[str, typer.Argument(help="A name such as hellaswag.")],
    value: Annotated[float, typer.Argument(help="What was found.")],
    source: Annotated[
        str, typer.Option("--source", help="Where it is from: which training, which benchmark.")
    ],
    low: Annotated[float | None, typer.Option("--low", help="Lower end of its 95 % interval.")] = None,
    high: Annotated[float | None, typer.Option("--high", help="Upper end of its 95 % interval.")] = None,
    smaller_is_better: Annotated[bool, typer.Option("--smaller-is-better", help="As for a loss.")] = False,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Keep a quality value of a trial that was found elsewhere, such as a benchmark of the trained model."""
    study, number = _parted(trial)
    if not all(isfinite(each) for each in (value, low or 0.0, high or 0.0)):
        raise BadInput(f"{value} can't be used", field="VALUE", hint="give finite numbers")
    direction: Literal["minimize", "maximize"] = "minimize" if smaller_is_better else "maximize"
    given = QualityGiven(value=value, low=low, high=high, direction=direction, source=source)
    with client_of(url, data_folder) as client:
        _print(client.post_quality(study, number, metric, given), json)


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
    study, number = _parted(trial)
    with client_of(url, data_folder) as client:
        attempts = client.trial_attempts(study, number)
    print_attempts(
        chosen(attempts, attempt),
        json,
        f"{trial}: nothing was measured for it yet",
        first_number=attempt or 1,
    )


def _parted(trial: str) -> tuple[str, int]:
    study, slash, number = trial.rpartition("/")
    if not (slash and study and number.isdecimal() and len(number) < 10):
        raise BadInput(
            f"{trial!r} can't be used", field="TRIAL", hint="name a study and a number, as in pocket/12"
        )
    return study, int(number)


def _print(trial: TrialDetailOut, as_json: bool) -> None:
    if as_json:
        typer.echo(trial.model_dump_json())
        return
    lines = [f"#{trial.number} {trial.label or trial.kind}: {trial.layout}: {trial.state}"]
    if trial.outcome not in {"", "measured"}:
        lines.append(f"  {trial.outcome}: {trial.detail}")
    lines += [
        f"  {name} {each.value:.4g} [{each.low:.4g}, {each.high:.4g}]"
        for name, each in trial.observations.items()
    ]
    lines += [
        f"  {each.metric} {each.value:g} [{each.low:g}, {each.high:g}], found elsewhere: {each.source}"
        for each in trial.external_quality
    ]
    lines.append(
        f"  measured in {len(trial.measurements)} rounds and targets; loopfront trial log shows attempts"
    )
    Console().print(Text("\n".join(lines)), soft_wrap=True)


def _values(trial: TrialOut) -> str:
    if trial.state != "measured":
        return trial.detail
    shown = {name: each for name, each in trial.observations.items() if "_p95" not in name}
    return "  ".join(f"{name} {each.value:.4g}" for name, each in shown.items())
