"""`loopfront arch`: look at one architecture, measure it, bring it in from Hugging Face or take it out."""

import json as json_text
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from devices.untrusted_text import visible_line
from service.api.schemas import MeasurementOut, MeasurementWish
from service.client import Client
from service.commands.attempts import print_attempts
from service.commands.options import DataFolderOption, JsonOption, UrlOption, client_of
from service.errors import BadInput, ServiceError

if TYPE_CHECKING:
    from service.known_layouts import NamedArchitecture

app = typer.Typer(
    no_args_is_help=True, help="Look at one architecture, measure it, bring it in or take it out."
)

POLL_S = 0.5

NameArgument = Annotated[
    str, typer.Argument(help="A reference such as lfm2-350m, or a layout such as CCACCACCACACACAC.")
]
SourceArgument = Annotated[
    str,
    typer.Argument(
        help="A reference such as lfm2-350m, a layout such as CCACCACCACACACAC, a study's trial such as pocket/12, "
        "or a file: a Hugging Face config.json or an architecture that `arch import --out` wrote."
    ),
]
ParametersOption = Annotated[
    str | None, typer.Option("--parameters", help="Scale to this many, such as 60M. [layouts: 60M]")
]
VocabularyOption = Annotated[
    int | None, typer.Option("--vocabulary", help="Size of the vocabulary when scaled. (default: 32768)")
]
RatioOption = Annotated[
    float | None,
    typer.Option("--embedding-ratio", help="Embedding parameters / total parameters when scaled."),
]


@app.command()
def show(
    name: SourceArgument,
    parameters: ParametersOption = None,
    vocabulary: VocabularyOption = None,
    embedding_ratio: RatioOption = None,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show an architecture's blocks, counts and closed-form costs; nothing is measured."""
    asked = (_quantity(parameters), vocabulary, embedding_ratio)
    _print(_source(name, asked, url, data_folder), json)


@app.command("import")
def import_config(
    file: Annotated[
        Path, typer.Argument(help="A config.json of lfm2, lfm3, gemma3_text, qwen3 or qwen3_5_text.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the architecture to this new file.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read a Hugging Face config as an architecture; what Loopfront can't build is refused by name."""
    from service.arch_files import read_architecture, write_document  # noqa: PLC0415 - loads torch

    found = read_architecture(file)
    if out is not None:
        write_document(found, out)
    _print(found, json)


@app.command("export")
def export_architecture(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    name: SourceArgument,
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    form: Annotated[str, typer.Option("--format", help="hf, onnx or torch.")] = "hf",
    parameters: ParametersOption = None,
    vocabulary: VocabularyOption = None,
    embedding_ratio: RatioOption = None,
    bits: Annotated[
        int | None, typer.Option("--bits", help="Weights of the ONNX graph: 4, 8 or 32 bits. (default: 4)")
    ] = None,
    block_size: Annotated[
        int | None,
        typer.Option("--block-size", help="Its weights that share a scale: 32, 64 or 128. (default: 32)"),
    ] = None,
    context_tokens: Annotated[
        int | None, typer.Option("--context-tokens", help="Room of its caches. (default: 4096)")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of the fresh weights in hf and torch. (default: 0)")
    ] = None,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
) -> None:
    """Write an architecture for other tools: a Hugging Face folder, an ONNX graph, or one torch file.

    Everything is read back and compared before the folder gets its name.
    """
    from service.arch_files import ExportForm, export  # noqa: PLC0415 - loads torch

    wanted = ExportForm(form, bits, block_size, context_tokens, seed)
    found = _source(name, (_quantity(parameters), vocabulary, embedding_ratio), url, data_folder)
    typer.echo(f"{out}: {export(found, wanted, out)}")


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
    context_tokens: Annotated[
        str, typer.Option("--context-tokens", help="Several, as in 512,4096,32768, are all measured.")
    ] = "512",
    profile: Annotated[
        str,
        typer.Option("--profile", help="as-shipped, or lab: on the fastest cores at their highest clock."),
    ] = "as-shipped",
    half_width: Annotated[
        float, typer.Option("--half-width", help="Aim of the 95 % interval, as a share: 0.02 is ± 2 %.")
    ] = 0.04,
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
        workload={
            "prompt_tokens": prompt_tokens,
            "context_tokens": _contexts(context_tokens),
            "threads": threads,
        },
        measuring={"profile": profile, "half_width": half_width},
        fresh=fresh,
    )
    with client_of(url, data_folder) as client:
        done = _wait_or_cancel(client, client.measure(wish), quiet=json)
    if json:
        typer.echo(done.model_dump_json())
        return
    from reports.encoding import measurement_from_dict  # noqa: PLC0415
    from reports.terminal import measurement_table  # noqa: PLC0415

    assert done.report is not None
    Console().print(measurement_table(measurement_from_dict(done.report)))


@app.command("log")
def log(
    measurement: Annotated[str, typer.Argument(help="The id that `arch measure` gave.")],
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show every attempt of one `arch measure`, its device's calibration included, with the log of what ran."""
    with client_of(url, data_folder) as client:
        attempts = client.measurement_attempts(measurement)
    print_attempts(attempts, json, f"{measurement}: nothing was measured for it yet", first_number=1)


def _source(
    name: str, asked: tuple[int | None, int | None, float | None], url: str | None, data_folder: Path | None
) -> "NamedArchitecture":
    """Find the architecture that a name, a trial or a file means."""
    from service.arch_files import read_architecture  # noqa: PLC0415 - loads torch
    from service.known_layouts import Scale, from_document, named  # noqa: PLC0415

    scale = Scale(*asked)
    if name.endswith(".json") or Path(name).is_file():
        scale.refuse_all("a file has its own size", "parameters", "vocabulary", "embedding_ratio")
        return read_architecture(Path(name))
    study, slash, number = name.partition("/")
    if not slash:
        return named(name, scale)
    scale.refuse_all("a trial has its own size", "parameters", "vocabulary", "embedding_ratio")
    if not (number.isdecimal() and len(number) < 10):
        raise BadInput(
            f"{name[:80]!r} can't be used", field="NAME", hint="name a trial by its number, as in pocket/12"
        )
    with client_of(url, data_folder) as client:
        return from_document(client.trial(study, int(number)).architecture, name)


def _contexts(text: str) -> int | list[int]:
    words = text.split(",")
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        raise BadInput(
            f"{text[:80]!r} can't be used", field="--context-tokens", hint="write 512, or 512,4096,32768"
        )
    numbers = [int(word) for word in words]
    return numbers if len(numbers) > 1 else numbers[0]


def _print(found: "NamedArchitecture", json: bool) -> None:
    from service.arch_text import architecture_json, architecture_view  # noqa: PLC0415 - loads torch

    if json:
        typer.echo(json_text.dumps(architecture_json(found)))
    else:
        Console().print(architecture_view(found))


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
                status.update(Text(visible_line(f"{measurement.layout} on {measurement.device}: {told}")))
            time.sleep(POLL_S)
            measurement = client.measurement(measurement.id)
    if measurement.report is None:
        raise ServiceError(
            f"{measurement.layout} couldn't be measured on {measurement.device}: {measurement.detail}",
            hint=f"`loopfront arch log {measurement.id}` shows what ran; mend it and measure again",
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
