"""`loopfront up`: the service, the search loop and the local agent in one command."""

from typing import Annotated

import typer

from service.commands.options import DataFolderOption, HostOption, PortOption
from service.settings import load_settings


def up(
    data_folder: DataFolderOption = None,
    host: HostOption = None,
    port: PortOption = None,
    agent: Annotated[bool, typer.Option(help="Register this machine as a device.")] = True,
) -> None:
    """Run the service, the search loop and an agent for this machine until Ctrl-C."""
    settings = load_settings(data_folder=data_folder, host=host, port=port)
    # torch and the web framework take seconds to load; `--help` must not wait for them.
    from service.up import configure_log, run_up  # noqa: PLC0415

    configure_log()
    run_up(settings, with_agent=agent)
