"""Options that several commands share, and finding the service that they mean."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from service.client import Client
from service.data_folder import find_running
from service.errors import BadInput, ServiceUnreachable
from service.kept_tokens import kept_token
from service.secret_files import owner_token_path, read_secret
from service.settings import load_settings

DataFolderOption = Annotated[
    Path | None, typer.Option("--data-folder", help="Where state lives. (default: ~/.local/share/loopfront)")
]
PortOption = Annotated[int | None, typer.Option("--port", help="Port to listen on. (default: 8765)")]
HostOption = Annotated[str | None, typer.Option("--host", help="Address to listen on. (default: 127.0.0.1)")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="The service. (default: the one running on the data folder)")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def require_writable(path: Path, option: str) -> None:
    """Refuse a file that can't be written before minutes are spent on it."""
    folder = path.resolve().parent
    trouble = ""
    if path.is_dir():
        trouble = "it is a folder"
    elif not folder.is_dir():
        trouble = f"there is no folder {folder}"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        trouble = "you may not write there"
    if trouble:
        raise BadInput(
            f"{path} can't be written: {trouble}", field=option, hint="name a file in a folder that exists"
        )


def write_file(path: Path, content: bytes, option: str) -> None:
    """Write a file; one line with its name where that can't be done."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadInput(
            f"{path} can't be written: {error.strerror or error}",
            field=option,
            hint="name a file in a folder that exists",
        ) from None


def client_of(url: str | None, data_folder: Path | None = None) -> Client:
    """Give a client of the service that is meant, with the token that is known for it.

    That is LOOPFRONT_TOKEN, the owner's of a service of this machine and user, or the one that `loopfront login` kept.
    """
    address = service_url(url, data_folder)
    return Client(address, token_for(address, data_folder))


def token_for(address: str, data_folder: Path | None) -> str:
    """Find the token for a service; "" where none is known. One is never shown to another service than its own."""
    if given := os.environ.get("LOOPFRONT_TOKEN"):
        return given
    folder = load_settings(data_folder=data_folder).data_folder
    running = find_running(folder, settle_s=0.0)
    if running is not None and running.url == address.rstrip("/").replace("//localhost:", "//127.0.0.1:"):
        return read_secret(owner_token_path(folder))
    return kept_token(address)


def service_url(url: str | None, data_folder: Path | None = None) -> str:
    """Find the service's address: as given, or as announced in the data folder.

    Whatever else listens on the default port may be the service of another folder, and is never taken for it.
    """
    if url:
        return url
    folder = load_settings(data_folder=data_folder).data_folder
    running = find_running(folder)
    if running is None:
        start = "loopfront up" + (f" --data-folder {shlex.quote(str(folder))}" if data_folder else "")
        raise ServiceUnreachable(
            "no service runs on this data folder",
            field=str(folder),
            hint=f"start one with `{start}`, or name another service with --url",
        )
    return running.url
