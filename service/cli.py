"""The `loopfront` command; heavy parts are imported only by the commands that need them."""

import io
import sys

import typer

from service.commands import agent, arch, audit, device, study, token, trial, webhook
from service.commands.demo import demo
from service.commands.login import link, login, logout
from service.commands.serve import serve
from service.commands.up import up
from service.commands.worker import worker
from service.errors import BadInput, ServiceError
from service.server_part import INSTALL_IT, lacks_server_part
from service.version import VERSION

EXIT_FAILURE, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130
BAD_INPUT_STATUSES = frozenset({400, 404, 409, 413, 422})

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Which small language model architecture should I train for these devices? Answered by measuring.",
)
app.command("up")(up)
app.command("demo")(demo)
app.command("worker")(worker)
app.command("serve")(serve)
app.command("login")(login)
app.command("logout")(logout)
app.command("link")(link)
app.command("report")(study.report)
app.add_typer(study.app, name="study")
app.add_typer(trial.app, name="trial")
app.add_typer(device.app, name="device")
app.add_typer(agent.app, name="agent")
app.add_typer(arch.app, name="arch")
app.add_typer(token.app, name="token")
app.add_typer(audit.app, name="audit")
app.add_typer(webhook.app, name="webhook")


@app.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(f"loopfront {VERSION}")


def main() -> None:
    """Run the command line: one line on stderr and an exit code instead of a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal knows every sign
    try:
        app()
    except ServiceError as error:
        typer.echo(f"loopfront: {error.line}", err=True)
        sys.exit(_exit_code(error))
    except ModuleNotFoundError as error:
        if not lacks_server_part(error):
            raise
        needed = f"this command needs the server part, which isn't installed here ({error.name} is missing)"
        typer.echo(f"loopfront: {needed}; type: {INSTALL_IT}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        typer.echo(f"loopfront: {place}{error.strerror or error}", err=True)
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        typer.echo("loopfront: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)


def _exit_code(error: ServiceError) -> int:
    is_bad_input = isinstance(error, BadInput) or error.status in BAD_INPUT_STATUSES
    return EXIT_BAD_INPUT if is_bad_input else EXIT_FAILURE


if __name__ == "__main__":
    main()
