"""`loopfront demo`: one whole search on this machine, from a study file to its Pareto report."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import DataFolderOption, PortOption


def demo(
    study: Annotated[
        Path | None, typer.Option("--study", help="Another study file. (default: pocket.yaml)")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the service running at the end.")] = False,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Measure twelve candidates again at the end.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin a new study with another seed.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the HTML report.")] = None,
    data_folder: DataFolderOption = None,
    port: PortOption = None,
) -> None:
    """Search for the best 60 M architectures for this machine, and show the front."""
    from service.demo_run import DemoWishes, run_demo  # noqa: PLC0415 - loads the reports
    from service.settings import load_settings  # noqa: PLC0415

    settings = load_settings(data_folder=data_folder, port=port)
    run_demo(settings, DemoWishes(study, keep, repeat, fresh, out))
