"""`loopfront arch`: look at one architecture, or have it measured."""

import json as json_text
import time
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from service.api.schemas import MeasurementOut, MeasurementWish
from service.client import Client
from service.commands.options import DataFolderOption, JsonOption, UrlOption, service_url
from service.errors import BadInput, ServiceError

app = typer.Typer(no_args_is_help=True, help="Look at one architecture, or have it measured.")

POLL_S = 0.5

NameArgument = Annotated[
    str, typer.Argument(help="A reference such as lfm2-350m, or a layout such as CCACCACCACACACAC.")
]
ParametersOption = Annotated[
    str | None, typer.Option("--parameters", help="Scale to this many, such as 60M. [layouts: 60M]")
]
VocabularyOption = Annotated[
    int | None, typer.Option("--vocabulary", help="Size of the vocabulary when scaled. [default: 32768]")
]
RatioOption = Annotated[
    float | None,
    typer.Option("--embedding-ratio", help="Embedding parameters / total parameters when scaled."),
]


@app.command()
def show(
    name: NameArgument,
    parameters: ParametersOption = None,
    vocabulary: VocabularyOption = None,
    embedding_ratio: RatioOption = None,
    json: JsonOption = False,
) -> None:
    """Show an architecture's blocks and counts; nothing is measured."""
    from service.arch_text import architecture_json, architecture_table  # noqa: PLC0415 - loads torch
    from service.known_layouts import Scale, named  # noqa: PLC0415

    scale = Scale(_quantity(parameters), vocabulary, embedding_ratio)
    found = named(name, scale)
    if json:
        typer.echo(json_text.dumps(architecture_json(found)))
        return
    Console().print(architecture_table(found))


@app.command()
def measure(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    name: NameArgument,
    parameters: ParametersOption = None,
    vocabulary: VocabularyOption = None,
    embedding_ratio: RatioOption = None,
    device: Annotated[
        str, typer.Option("--device", help="A device's name; local is the service's machine.")
    ] = "local",
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens")] = 256,
    context_tokens: Annotated[int, typer.Option("--context-tokens")] = 512,
    threads: Annotated[int, typer.Option("--threads")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again even if it is known.")] = False,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Measure an architecture: TTFT, TPOT and peak RSS, raw and paired, with their intervals; Ctrl-C withdraws it."""
    wish = _wish(
        layout=name if name.isupper() else "",
        reference="" if name.isupper() else name,
        parameters=_quantity(parameters),
        vocabulary=vocabulary,
        embedding_ratio=embedding_ratio,
        device=device,
        workload={"prompt_tokens": prompt_tokens, "context_tokens": context_tokens, "threads": threads},
        fresh=fresh,
    )
    with Client(service_url(url, data_folder)) as client:
        done = _wait_or_cancel(client, client.measure(wish), quiet=json)
    if json:
        typer.echo(done.model_dump_json())
        return
    from reports.encoding import measurement_from_dict  # noqa: PLC0415
    from reports.terminal import measurement_table  # noqa: PLC0415

    assert done.report is not None
    Console().print(measurement_table(measurement_from_dict(done.report)))


def _wish(**given: object) -> MeasurementWish:
    try:
        return MeasurementWish.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        place = "NAME" if name in {"layout", "reference"} else f"--{name.replace('_', '-')}"
        raise BadInput(f"{first['input']!r} can't be used", field=place, hint=first["msg"]) from None


def _wait_or_cancel(client: Client, measurement: MeasurementOut, quiet: bool) -> MeasurementOut:
    try:
        return _wait(client, measurement, quiet)
    except KeyboardInterrupt:
        # A terminal that is closed asked for nothing: its wish stays, and its answer is there the next time.
        client.cancel_measurement(measurement.id)
        raise


def _wait(client: Client, measurement: MeasurementOut, quiet: bool) -> MeasurementOut:
    console = Console(stderr=True, quiet=quiet)
    told = ""
    with console.status(f"{measurement.layout} on {measurement.device}") as status:
        while measurement.state in {"waiting", "running"}:
            if measurement.step != told:
                told = measurement.step
                status.update(f"{measurement.layout} on {measurement.device}: {told}")
            time.sleep(POLL_S)
            measurement = client.measurement(measurement.id)
    if measurement.report is None:
        raise ServiceError(
            f"{measurement.layout} couldn't be measured on {measurement.device}: {measurement.detail}",
            hint="mend that and measure it again",
        )
    return measurement


def _quantity(text: str | None) -> int | None:
    from service.study_fields import read_quantity  # noqa: PLC0415

    if text is None:
        return None
    try:
        value = read_quantity(text)
    except ValueError as error:
        raise BadInput(f"{text!r} can't be used", field="--parameters", hint=str(error)) from None
    return value if isinstance(value, int) else None
