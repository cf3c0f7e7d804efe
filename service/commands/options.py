"""Options that several commands share, and finding the service that they mean."""

from pathlib import Path
from typing import Annotated

import typer

from service.data_folder import find_running
from service.settings import load_settings

DataFolderOption = Annotated[
    Path | None, typer.Option("--data-folder", help="Where state lives. [default: ~/.local/share/loopfront]")
]
PortOption = Annotated[int | None, typer.Option("--port", help="Port to listen on. [default: 8765]")]
HostOption = Annotated[str | None, typer.Option("--host", help="Address to listen on. [default: 127.0.0.1]")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="The service. [default: the one running on the data folder]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def service_url(url: str | None, data_folder: Path | None = None) -> str:
    """Find the service's address: as given, as announced in the data folder, or at the default port."""
    if url:
        return url
    settings = load_settings(data_folder=data_folder)
    running = find_running(settings.data_folder, settle_s=0.5)
    return running.url if running else f"http://{settings.host}:{settings.port}"
