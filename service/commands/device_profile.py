"""`loopfront device profile`: what a device tells at once, measured, shown and kept."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from devices.untrusted_text import visible_line
from service.api.schemas import ProfileOut, ProfileWish
from service.client import Client
from service.commands.options import (
    DataFolderOption,
    JsonOption,
    UrlOption,
    client_of,
    require_writable,
    write_file,
)
from service.errors import BadInput, ServiceError

if TYPE_CHECKING:
    from reports.profile_rows import ProfileReport

POLL_S = 1.0
OPEN = frozenset({"running"})


def profile(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    name: Annotated[str, typer.Argument(help="A device's name; local is the service's machine.")],
    again: Annotated[
        bool, typer.Option("--again", help="Measure everything anew, even what is known.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the page to this file as well; it needs no network.")
    ] = None,
    width: Annotated[int, typer.Option("--width", help="Of the mixers that are compared.")] = 1024,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", help="Of the prefill.")] = 512,
    contexts: Annotated[
        str, typer.Option("--contexts", help="Depths at which decode is timed.")
    ] = "512,4096,32768",
    mixers: Annotated[
        str, typer.Option("--mixers", help="Which to compare, with short_conv among them; or all, or none.")
    ] = "all",
    shapes: Annotated[
        str,
        typer.Option("--shapes", help="References to run whole, at their own size; none for mixers alone."),
    ] = "lfm2-350m,gemma-3-270m,qwen3-0.6b,qwen3.5-0.8b",
    threads: Annotated[int, typer.Option("--threads")] = 1,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Measure what each mixer costs on a device, and how fast and large known shapes run there.

    It takes about twenty minutes on a laptop. What was measured is kept: interrupted and run again it goes on,
    and a finished one is shown at once. Ctrl-C stops it.
    """
    wish = _wish(
        width=width,
        prompt_tokens=prompt_tokens,
        contexts=_numbers(contexts),
        mixers=None if mixers == "all" else _names(mixers),
        shapes=_names(shapes),
        threads=threads,
        again=again,
    )
    if html is not None:
        require_writable(html, "--html")
    with client_of(url, data_folder) as client:
        done = _wait_or_cancel(client, client.begin_profile(name, wish), quiet=json)
        page = client.profile_html(done.id) if html is not None else b""
    if json:
        typer.echo(done.model_dump_json())
    else:
        _print(done)
    if html is not None:
        write_file(html, page, "--html")
        typer.echo(f"written to {html}", err=True)
    if done.state != "done":
        raise ServiceError(
            f"the profile of {done.device} is incomplete: {done.detail}",
            hint="what was measured is kept; mend that and run it again",
        )


def _print(done: ProfileOut) -> None:
    from reports.profile_terminal import profile_view  # noqa: PLC0415

    Console().print(profile_view(_report(done)))


def _report(found: ProfileOut) -> "ProfileReport":
    from reports.encoding import profile_from_dict  # noqa: PLC0415

    return profile_from_dict(found.report)


def _wait_or_cancel(client: Client, found: ProfileOut, quiet: bool) -> ProfileOut:
    try:
        return _wait(client, found, quiet)
    except KeyboardInterrupt:
        # A terminal that is closed asked for nothing: its profile goes on, and is there the next time.
        client.cancel_profile(found.id)
        raise


def _wait(client: Client, found: ProfileOut, quiet: bool) -> ProfileOut:
    """Show the progress until the profile has ended: a bar on a terminal, a line per measurement elsewhere."""
    from reports.profile_terminal import progress_line  # noqa: PLC0415

    console = Console(stderr=True, quiet=quiet)
    told = 0
    with console.status("") as status:
        while True:
            report = _report(found)
            status.update(progress_line(report))
            for entry in report.entries[told : report.entries_done]:
                ended = _ended(entry.outcome, entry.detail, entry.seconds, entry.reused)
                console.print(Text(visible_line(f"  {entry.label}: {ended}")))
            told = report.entries_done
            if found.state not in OPEN:
                return found
            time.sleep(POLL_S)
            found = client.profile(found.id)


def _ended(outcome: str, detail: str, seconds: float | None, reused: bool) -> str:
    from reports.number_text import duration_text  # noqa: PLC0415
    from reports.profile_view import missing  # noqa: PLC0415

    if outcome in {"measured", "bandwidth_measured"}:
        return "known" if reused else f"measured in {duration_text(seconds)}"
    return f"{missing(outcome)}: {detail}" if detail else missing(outcome)


def _names(text: str) -> list[str]:
    names = text.replace(" ", "").split(",")
    return [] if names == ["none"] else [name for name in names if name]


def _numbers(text: str) -> list[int]:
    words = text.replace(" ", "").split(",")
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        raise BadInput(
            f"{text[:80]!r} can't be used", field="--contexts", hint="write 512, or 512,4096,32768"
        )
    return [int(word) for word in words]


def _wish(**given: object) -> ProfileWish:
    try:
        return ProfileWish.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = f"--{str(first['loc'][0]).replace('_', '-')}"
        raise BadInput(f"{first['input']!r} can't be used", field=place, hint=first["msg"]) from None
