"""`loopfront serve`: answer requests beside a service, in as many processes as wanted."""

from service.commands.options import DataFolderOption, HostOption, PortOption
from service.settings import load_settings


def serve(data_folder: DataFolderOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Answer requests beside `loopfront up`, on another port, until Ctrl-C; one process fills one core.

    It reads the service's settings and shares its PostgreSQL and its data folder. A proxy spreads agents and users over
    the ports; each has Prometheus metrics of its own.
    """
    settings = load_settings(data_folder=data_folder, host=host, port=port)
    from service.serve import run_serve  # noqa: PLC0415  # loads the web framework
    from service.up import configure_log  # noqa: PLC0415

    configure_log()
    run_serve(settings)
