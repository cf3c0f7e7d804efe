"""`loopfront device`: the devices that agents registered."""

from typing import Annotated

import typer
from rich.console import Console

from service.client import Client
from service.commands.attempts import print_attempts
from service.commands.listing import listing
from service.commands.options import DataFolderOption, JsonOption, UrlOption, service_url

app = typer.Typer(no_args_is_help=True, help="Devices that agents registered.")


@app.command("list")
def list_devices(
    url: UrlOption = None, data_folder: DataFolderOption = None, json: JsonOption = False
) -> None:
    """List every device."""
    with Client(service_url(url, data_folder)) as client:
        devices = client.devices()
    if json:
        typer.echo("[" + ", ".join(device.model_dump_json() for device in devices) + "]")
        return
    table = listing("name", "state", "kind", "agent", "processor", "cores")
    for device in devices:
        facts = [str(device.facts.get(name) or "") for name in ("processor", "cores")]
        table.add_row(device.name, "online" if device.online else "away", device.kind, device.agent, *facts)
    Console().print(table)


@app.command("log")
def log(
    name: Annotated[str, typer.Argument(help="The device's name.")],
    newest: Annotated[int, typer.Option("--newest", help="How many.", min=1, max=200)] = 20,
    url: UrlOption = None,
    data_folder: DataFolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show the newest attempts at measuring on a device, with the log of what ran; calibrations too."""
    with Client(service_url(url, data_folder)) as client:
        attempts = client.device_attempts(name, newest)
    print_attempts(attempts, json, f"{name}: nothing was measured on it yet")
