"""`loopfront device`: the devices that agents know; look at one, pause it, resume it, label it."""

import json as json_text
import shlex
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from service.api.schemas import DeviceOut, StationOut
from service.commands.attempts import print_attempts
from service.commands.device_profile import profile
from service.commands.listing import listing
from service.commands.options import DataFolderOption, JsonOption, UrlOption, client_of
from service.errors import BadInput

app = typer.Typer(no_args_is_help=True, help="Devices that agents know.")

NameArgument = Annotated[str, typer.Argument(help="The device's name, as `loopfront device list` shows it.")]

app.command("profile")(profile)


@app.command("list")
def list_devices(
    url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """List every device: whether it can be measured now, and if not, why and what to type."""
    with client_of(url, data_folder) as client:
        devices, unregistered = client.devices(), client.unregistered_devices()
    if json:
        listed = [device.model_dump(mode="json") for device in devices]
        listed += [{"id": None, **station.model_dump(mode="json")} for station in unregistered]
        typer.echo(json_text.dumps(listed))
        return
    table = listing("name", "state", "kind", "agent", "processor", "cores", "labels")
    for device in devices:
        table.add_row(*map(Text, _cells(device)))
    for station in unregistered:
        table.add_row(*map(Text, (station.name, _words(station.state), station.kind, station.agent)))
    console = Console()
    console.print(table)
    everything: list[DeviceOut | StationOut] = [*devices, *unregistered]
    for each in everything:
        if each.reason or each.hint:
            console.print(Text(_explained(each)), soft_wrap=True)


@app.command("show")
def show(
    name: NameArgument, url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """Show how a device stands, and how fast the sentinel ran there lately."""
    with client_of(url, data_folder) as client:
        device, levels = client.device(name), client.sentinels(name, 20)
    if json:
        shown = {
            **device.model_dump(mode="json"),
            "sentinels": [each.model_dump(mode="json") for each in levels],
        }
        typer.echo(json_text.dumps(shown))
        return
    Console().print(Text(_explained(device)), soft_wrap=True)
    table = listing("sentinel at", "prefill ms", "decode ms", "")
    for each in levels:
        note = "calibration" if each.calibration_id else ""
        table.add_row(
            f"{each.measured_at:%Y-%m-%d %H:%M:%S}", f"{each.prefill_ms:.1f}", f"{each.decode_ms:.2f}", note
        )
    Console().print(table)


@app.command("quarantine")
def quarantine(
    name: NameArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why nothing of it is to be trusted.")],
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Trust nothing of a device until `loopfront agent doctor` on its lab host has passed it."""
    with client_of(url, data_folder) as client:
        device = client.quarantine_device(name, reason)
    _print(device, json)


@app.command("log")
def log(
    name: NameArgument,
    newest: Annotated[int, typer.Option("--newest", help="How many.", min=1, max=200)] = 20,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show the newest attempts at measuring on a device, with the log of what ran; calibrations too."""
    with client_of(url, data_folder) as client:
        attempts = client.device_attempts(name, newest)
    print_attempts(attempts, json, f"{name}: nothing was measured on it yet")


@app.command()
def pause(
    name: NameArgument,
    reason: Annotated[str, typer.Option("--reason", help="Shown to whoever waits for it.")] = "",
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Measure nothing more on a device; what is under way goes back on its list and ends within seconds."""
    with client_of(url, data_folder) as client:
        device = client.pause_device(name, reason)
    _print(device, json)


@app.command()
def resume(
    name: NameArgument,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Let a paused device be measured again."""
    with client_of(url, data_folder) as client:
        device = client.resume_device(name)
    _print(device, json)


@app.command()
def label(
    name: NameArgument,
    labels: Annotated[list[str], typer.Argument(help="Such as room=lab; room= takes the label away.")],
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Set labels over those of the device's agent."""
    changes = dict(_parted(each) for each in labels)
    with client_of(url, data_folder) as client:
        device = client.label_device(name, changes)
    _print(device, json)


def _print(device: DeviceOut, json: bool) -> None:
    if json:
        typer.echo(device.model_dump_json())
        return
    Console().print(Text(_explained(device)), soft_wrap=True)


def _cells(device: DeviceOut) -> tuple[str, ...]:
    facts = [str(device.facts.get(name) or "") for name in ("processor", "cores")]
    return device.name, _words(device.state), device.kind, device.agent, *facts, _labels(device)


def _labels(device: DeviceOut) -> str:
    return " ".join(f"{name}={value}" for name, value in device.labels.items())


def _explained(device: DeviceOut | StationOut) -> str:
    """Say in a line how a device stands, why, and what to type."""
    text = f"{device.name}: {_words(device.state)}"
    text += f": {device.reason}" if device.reason else ""
    text += f"; {device.hint}" if device.hint else ""
    if not isinstance(device, DeviceOut):
        return text
    labels = _labels(device)
    text += f"; labels {labels}" if labels and not device.reason else ""
    text += f"; last examined: {device.examination}" if device.examination.startswith("failed") else ""
    return text + (f"; log: loopfront device log {shlex.quote(device.name)}" if device.log_job_id else "")


def _words(state: str) -> str:
    return "can't be opened" if state == "unopened" else state


def _parted(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadInput(
            f"{text!r} is no label", field="LABELS", hint="write it as room=lab, or room= to drop it"
        )
    return name, value or None
