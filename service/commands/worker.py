"""`loopfront worker`: lead studies beside a service, in as many processes as wanted."""

from service.commands.options import DataFolderOption
from service.settings import load_settings


def worker(data_folder: DataFolderOption = None) -> None:
    """Lead studies of a service that keeps its state in PostgreSQL, until Ctrl-C; start as many as you like.

    It reads LOOPFRONT_DATABASE_URL as the service does, and shares its data folder, where graphs lie.
    """
    settings = load_settings(data_folder=data_folder)
    from service.search_worker import run_worker  # noqa: PLC0415  # loads torch
    from service.up import configure_log  # noqa: PLC0415

    configure_log()
    run_worker(settings)
