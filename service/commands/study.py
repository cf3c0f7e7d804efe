"""`loopfront study`: submit, watch, cancel and report studies."""

import json as json_text
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.api.schemas import StudyOut
from service.client import Client
from service.commands.listing import listing
from service.commands.options import DataFolderOption, JsonOption, UrlOption, service_url
from service.errors import BadInput

app = typer.Typer(no_args_is_help=True, help="Submit, watch, cancel and report studies.")

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
    with Client(service_url(url, data_folder)) as client:
        study = client.submit_study(document, key)
        _print_study(study, json, f"{study.name}: {study.state}; watch {client.url}{study.page}")


@app.command()
def validate(
    file: FileArgument, url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """Check a study file; nothing is created."""
    document = read_file(file)
    with Client(service_url(url, data_folder)) as client:
        valid = client.validate_study(document)
    references = ", ".join(f"{name} as {layout}" for name, layout in valid.references.items())
    shown = f"{valid.name}: valid, {valid.trials} trials" + (
        f"; references: {references}" if references else ""
    )
    typer.echo(valid.model_dump_json() if json else shown)


@app.command("list")
def list_studies(
    url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """List every study, newest first."""
    with Client(service_url(url, data_folder)) as client:
        studies = client.studies()
    if json:
        typer.echo("[" + ", ".join(study.model_dump_json() for study in studies) + "]")
        return
    table = listing("name", "state", "done", "failed", "front", "created")
    for study in studies:
        progress = study.progress
        done = f"{progress['trials_done']}/{progress['requested_trials']}"
        failed, front = str(progress["trials_failed"]), str(progress["front_size"])
        table.add_row(study.name, study.state, done, failed, front, f"{study.created_at:%Y-%m-%d %H:%M}")
    Console().print(table)


@app.command()
def show(
    name: NameArgument, url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """Show a study's progress and its front."""
    with Client(service_url(url, data_folder)) as client:
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
    with Client(service_url(url, data_folder)) as client:
        study = client.cancel_study(name)
    ended_before = "" if study.state == "cancelled" else " (it had ended already)"
    _print_study(study, json, f"{study.name}: {study.state}{ended_before}")


@app.command()
def resume(
    name: NameArgument, url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """Let a study that failed or was cancelled go on from where it stopped."""
    with Client(service_url(url, data_folder)) as client:
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
    with Client(service_url(url, data_folder)) as client:
        queued = client.enqueue(name, layouts)
    numbers = ", ".join(str(number) for number in queued.numbers)
    typer.echo(queued.model_dump_json() if json else f"{name}: enqueued as trial {numbers}")


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
    with Client(service_url(url, data_folder)) as client:
        if json:
            typer.echo(json_text.dumps(client.report(name)))
            return
        path = out or Path(f"{name}.html")
        client.save_report_html(name, path)
    typer.echo(str(path))


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


def _print_study(study: StudyOut, as_json: bool, text: str) -> None:
    typer.echo(study.model_dump_json() if as_json else text)
