"""`loopfront up`: the service, the search loop and the local agent in one command."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import DataFolderOption, HostOption, PortOption
from service.settings import load_settings


def up(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    data_folder: DataFolderOption = None,
    host: HostOption = None,
    port: PortOption = None,
    agent: Annotated[bool, typer.Option(help="Register this machine as a device.")] = True,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM file: the certificate, and its chain.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file: the certificate's key.")] = None,
    behind_proxy: Annotated[
        bool | None, typer.Option("--behind-proxy", help="A proxy before it ends TLS.")
    ] = None,
    plain_http: Annotated[
        str | None, typer.Option(help="Words that allow tokens to cross a network unencrypted.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="A name it is reached by, such as a DNS name; may be repeated."),
    ] = None,
    search: Annotated[
        bool, typer.Option(help="Lead studies in this process; else `loopfront worker` does, on PostgreSQL.")
    ] = True,
) -> None:
    """Run the service, the search loop and an agent for this machine until Ctrl-C."""
    settings = load_settings(
        data_folder=data_folder,
        host=host,
        port=port,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        behind_proxy=behind_proxy,
        plain_http=plain_http,
        names=tuple(name) if name else None,
    )
    # torch and the web framework take seconds to load; `--help` must not wait for them.
    from service.up import configure_log, run_up  # noqa: PLC0415

    configure_log()
    run_up(settings, with_agent=agent, with_search=search)
