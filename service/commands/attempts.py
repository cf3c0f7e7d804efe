"""Print attempts, as `loopfront trial|device|arch log` do."""

from collections.abc import Sequence

import typer

from reports.terminal_attempts import attempts_text
from service.api.schemas import AttemptOut
from service.attempt_rows import attempt_row
from service.errors import BadInput


def print_attempts(
    attempts: Sequence[AttemptOut], json: bool, nothing: str, first_number: int | None = None
) -> None:
    """Print attempts as JSON or as text; `nothing` where there are none."""
    if json:
        typer.echo("[" + ", ".join(attempt.model_dump_json() for attempt in attempts) + "]")
        return
    typer.echo(attempts_text(map(attempt_row, attempts), first_number) or nothing)


def chosen(attempts: Sequence[AttemptOut], number: int | None) -> Sequence[AttemptOut]:
    """Choose one attempt by its number, the first is 1; all where no number is given."""
    if number is None:
        return attempts
    if not 0 < number <= len(attempts):
        hint = f"there are {len(attempts)}; without --attempt all are shown"
        raise BadInput(f"there is no attempt {number}", field="--attempt", hint=hint)
    return attempts[number - 1 : number]
