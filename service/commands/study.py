"""`loopfront study`: submit, watch, pause, extend, cancel and report studies."""

import json as json_text
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from service.api.schemas import FrontOut, StudyOut, StudyValid
from service.client import Client
from service.commands.listing import listing
from service.commands.options import DataFolderOption, JsonOption, UrlOption, client_of
from service.errors import BadInput

app = typer.Typer(no_args_is_help=True, help="Submit, watch, pause, extend, cancel and report studies.")

FileArgument = Annotated[Path, typer.Argument(help="A study file; - reads standard input.")]
NameArgument = Annotated[str, typer.Argument(help="The study's name.")]


@app.command()
def submit(
    file: FileArgument,
    key: Annotated[
        str | None, typer.Option("--key", help="The same key submits the same study once.")
    ] = None,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Submit a study file."""
    document = read_file(file)
    with client_of(url, data_folder) as client:
        study = client.submit_study(document, key)
        _print_study(study, json, f"{study.name}: {study.state}; watch {client.url}{study.page}")


@app.command()
def validate(
    file: FileArgument, url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """Check a study file; nothing is created."""
    document = read_file(file)
    with client_of(url, data_folder) as client:
        valid = client.validate_study(document)
    typer.echo(valid.model_dump_json() if json else valid_lines(valid))


@app.command("list")
def list_studies(
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only studies in this state; may be repeated.")
    ] = None,
    text: Annotated[str, typer.Option("--name", help="Only studies with this text in their names.")] = "",
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """List studies, newest first."""
    with client_of(url, data_folder) as client:
        studies = client.studies(state or (), text)
    if json:
        typer.echo("[" + ", ".join(study.model_dump_json() for study in studies) + "]")
        return
    table = listing("name", "state", "done", "failed", "front", "created")
    for study in studies:
        done = f"{study.trials_done}/{study.trials_wanted}"
        failed, front = str(study.trials_failed), str(study.front_size)
        table.add_row(study.name, study.state, done, failed, front, f"{study.created_at:%Y-%m-%d %H:%M}")
    Console().print(table)


@app.command()
def show(
    name: NameArgument, url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """Show a study's progress and its front."""
    with client_of(url, data_folder) as client:
        study = client.study(name)
        report = {} if json else client.report(name)
    if json:
        typer.echo(study.model_dump_json())
        return
    from reports.encoding import report_from_dict  # noqa: PLC0415 - pandas and charts are not needed to submit
    from reports.terminal import front_table  # noqa: PLC0415

    progress = study.progress
    done, requested = progress["trials_done"], progress["requested_trials"]
    failed = f", {progress['trials_failed']} failed" if progress["trials_failed"] else ""
    message = progress["message"]
    detail = f" ({message})" if message else ""
    typer.echo(f"{study.name}: {study.state}, {done} of {requested} trials{failed}{detail}")
    if progress["front_size"]:
        Console().print(front_table(report_from_dict(report)))


@app.command()
def cancel(
    name: NameArgument, url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """Stop a study; what was measured stays."""
    with client_of(url, data_folder) as client:
        study = client.cancel_study(name)
    _print_stopped(study, json, "cancelled")


@app.command()
def pause(
    name: NameArgument, url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """Stop a study for a while: `resume` goes on, and what is being measured still counts."""
    with client_of(url, data_folder) as client:
        study = client.pause_study(name)
    _print_stopped(study, json, "paused")


@app.command()
def resume(
    name: NameArgument, url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """Let a study that was paused, failed or was cancelled go on from where it stopped."""
    with client_of(url, data_folder) as client:
        study = client.resume_study(name)
    _print_study(study, json, f"{study.name}: {study.state}")


@app.command()
def enqueue(
    name: NameArgument,
    layouts: Annotated[list[str], typer.Argument(help="Layouts such as CCACCACCACACACAC.")],
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Add known layouts to a study; they run next."""
    with client_of(url, data_folder) as client:
        queued = client.enqueue(name, layouts)
    numbers = ", ".join(str(number) for number in queued.numbers)
    typer.echo(queued.model_dump_json() if json else f"{name}: enqueued as trial {numbers}")


@app.command()
def extend(
    name: NameArgument,
    trials: Annotated[int, typer.Option("--trials", min=0, help="So many more.")] = 0,
    device_minutes: Annotated[
        float, typer.Option("--device-minutes", min=0.0, help="So many more, where the study has a limit.")
    ] = 0.0,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Let a study go on beyond its end."""
    with client_of(url, data_folder) as client:
        study = client.extend_study(name, trials, device_minutes)
    wanted = study.progress["requested_trials"]
    _print_study(study, json, f"{study.name}: {study.state}, {wanted} trials in all")


@app.command()
def clone(
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(help="The new study's name.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="A change such as budget.parameters=120M or seed=8; may be repeated."),
    ] = None,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Submit a study like another, with changes."""
    with client_of(url, data_folder) as client:
        study = client.clone_study(name, new_name, read_changes(changes or ()))
    _print_study(study, json, f"{study.name}: {study.state}")


@app.command()
def priority(
    name: NameArgument,
    level: Annotated[int, typer.Argument(min=-100, max=100, help="0 at first; the highest goes first.")],
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Let a study's jobs go before, or behind, those of others; for a negative number write -- before it."""
    with client_of(url, data_folder) as client:
        study = client.set_priority(name, level)
    _print_study(study, json, f"{study.name}: priority {study.priority}")


@app.command()
def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Forget a study that has stopped, with its trials; what was measured stays for other studies."""
    if not yes and typer.prompt(f"This forgets {name} and its trials for good. Type its name") != name:
        raise BadInput("that isn't its name", field="NAME", hint="nothing was deleted")
    with client_of(url, data_folder) as client:
        deleted = client.delete_study(name, name)
    typer.echo(
        deleted.model_dump_json() if json else f"{deleted.name}: deleted, with {deleted.trials} trials"
    )


@app.command()
def front(
    name: NameArgument,
    objectives: Annotated[
        list[str] | None,
        typer.Option("--objective", help="A metric such as tpot_ms_p50@laptop; all objectives if not given."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A file: its ending says json, csv or parquet.")
    ] = None,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show a study's front by some of its metrics, or write it to a file."""
    with client_of(url, data_folder) as client:
        if out is not None:
            _write_front(client, name, objectives or (), out)
            return
        found = client.front(name, objectives or ())
    typer.echo(found.model_dump_json() if json else front_lines(found))


@app.command()
def report(
    name: NameArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write the page. (default: NAME.html)")
    ] = None,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Write a study's self-contained HTML report, or print its rows as JSON."""
    with client_of(url, data_folder) as client:
        if json:
            typer.echo(json_text.dumps(client.report(name)))
            return
        path = out or Path(f"{name}.html")
        client.save_report_html(name, path)
    typer.echo(str(path))


def valid_lines(valid: StudyValid) -> str:
    """Say what a valid study file means: its space, an example, and how long it would take."""
    references = ", ".join(f"{name} as {layout}" for name, layout in valid.references.items())
    space, example, ahead = valid.space, valid.example, valid.forecast
    lines = [
        f"{valid.name}: valid, {valid.trials} trials" + (f"; references: {references}" if references else ""),
        f"space: {len(space.widths)} widths from {space.widths[0]} to {space.widths[-1]}, depths {space.depths[0]} to "
        f"{space.depths[-1]}, at most {space.architectures_at_most:.2g} architectures",
        f"such as: {example.layout}, width {example.hidden_size}, {example.parameters / 1e6:.1f} M parameters, "
        f"{example.embedding_ratio:.0%} of them embeddings",
    ]
    for each in ahead.targets:
        lines.append(
            f"{each.target} ({each.device}): {_minutes(each.device_minutes_low)} to "
            f"{_minutes(each.device_minutes_high)} "
            f"device-minutes, {each.waiting_studies} active studies there; from {each.based_on}"
        )
    lines.append(
        f"would end between {ahead.ends_at_earliest:%Y-%m-%d %H:%M} and {ahead.ends_at_latest:%Y-%m-%d %H:%M} UTC"
    )
    return "\n".join(lines)


def _minutes(minutes: float) -> str:
    return f"{minutes:.1f}" if minutes < 10 else f"{minutes:.0f}"


def _write_front(client: Client, name: str, objectives: Sequence[str], out: Path) -> None:
    ending = out.suffix.removeprefix(".")
    if ending not in {"json", "csv", "parquet"}:
        raise BadInput(
            f"{out.name!r} says no format", field="--out", hint="name a .json, .csv or .parquet file"
        )
    try:
        out.write_bytes(client.front_file(name, objectives, ending))
    except OSError as error:
        raise BadInput(
            error.strerror or str(error), field=str(out), hint="name a file in a folder that exists"
        ) from None
    typer.echo(str(out))


def front_lines(front: FrontOut) -> str:
    """Write a front as a line per trial, the balanced one marked."""
    names = [each.name for each in front.objectives]
    rows = [
        f"{'*' if trial.number == front.knee else ' '} #{trial.number:<4} {trial.layout}  "
        + "  ".join(f"{name} {trial.observations[name].value:.4g}" for name in names)
        for trial in front.trials
    ]
    volume = "" if front.hypervolume is None else f"; hypervolume {front.hypervolume:.4g}"
    return "\n".join([*rows, f"{len(front.trials)} on the front{volume}"])


def read_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Read changes such as budget.parameters=120M as a merge patch: values are JSON or plain text."""
    patch: dict[str, Any] = {}
    for change in changes:
        path, equals, text = change.partition("=")
        keys = path.split(".")
        if not equals or not all(keys):
            raise BadInput(f"{change!r} is no change", field="--set", hint="write it as seed=8")
        place = patch
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = _value_of(change, text)
    return patch


def _value_of(change: str, text: str) -> Any:
    try:
        return json_text.loads(text)
    except ValueError:
        if text[:1] in '[{"':
            raise BadInput(f"{change!r} is no JSON", field="--set", hint="write a list as [8, 20]") from None
        return text


def read_file(file: Path) -> str:
    """Read a study file's text; one line where that can't be done."""
    try:
        # Read as bytes: what standard input decodes to depends on the locale.
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return content.decode("utf-8")
    except OSError as error:
        raise BadInput(
            error.strerror or str(error), field=str(file), hint="give the path of a study file"
        ) from None
    except UnicodeDecodeError as error:
        raise BadInput(f"isn't UTF-8: byte {error.start}", field=str(file), hint="save it as UTF-8") from None


def _print_stopped(study: StudyOut, json: bool, wanted: str) -> None:
    ended_before = "" if study.state == wanted else " (it had ended already)"
    _print_study(study, json, f"{study.name}: {study.state}{ended_before}")


def _print_study(study: StudyOut, as_json: bool, text: str) -> None:
    typer.echo(study.model_dump_json() if as_json else text)
