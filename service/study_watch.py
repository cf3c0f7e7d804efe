"""Show a study's progress in a terminal until it ends: live on a terminal, line by line elsewhere."""

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from devices.untrusted_text import visible_line
from reports.encoding import progress_from_dict
from reports.terminal import progress_panel
from service.api.schemas import StudyOut, TrialOut
from service.client import Client

POLL_S = 1.0
ENDED = frozenset({"finished", "cancelled", "failed"})
ENDED_TRIALS = frozenset({"measured", "failed", "duplicate"})


def watch_study(client: Client, name: str, console: Console) -> StudyOut:
    """Wait for a study's end and return it."""
    if console.is_terminal:
        return _watch_live(client, name, console)
    return _watch_lines(client, name, console)


def trial_line(trial: TrialOut) -> str:
    """Say in one line what became of a trial."""
    name = f"{trial.kind} {trial.number} {trial.label}".rstrip() if trial.label else f"trial {trial.number}"
    if trial.state != "measured":
        return f"{name}: {trial.layout}: {trial.outcome}: {trial.detail}"
    values = (
        f"{metric.replace('_p50', '')} {value.value:.4g}"
        for metric, value in trial.observations.items()
        if "_p95" not in metric
    )
    return f"{name}: {trial.layout}: {', '.join(values)}"


def _watch_live(client: Client, name: str, console: Console) -> StudyOut:
    study = client.study(name)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            live.update(progress_panel(progress_from_dict(study.progress)))
            if study.state in ENDED:
                return study
            time.sleep(POLL_S)
            study = client.study(name)


def _watch_lines(client: Client, name: str, console: Console) -> StudyOut:
    told: set[int] = set()
    said = ""
    while True:
        study = client.study(name)
        for trial in client.trials(name):
            if trial.state in ENDED_TRIALS and trial.number not in told:
                told.add(trial.number)
                console.print(Text(visible_line(trial_line(trial))), soft_wrap=True)
        note = study.detail or _waits_for(study)
        status = f"{study.state}: {note}" if note else study.state
        if status != said:
            said = status
            console.print(Text(visible_line(f"study {name}: {status}")), soft_wrap=True)
        if study.state in ENDED:
            return study
        time.sleep(POLL_S)


def _waits_for(study: StudyOut) -> str:
    """Say which device a study waits for; other news of its progress are no change worth a line."""
    message = str(study.progress.get("message") or "")
    return message if message.startswith("waiting: ") else ""
