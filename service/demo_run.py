"""Run the demo: a service if none is running, one study, its progress, its report."""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.text import Text

from devices.untrusted_text import visible_line
from reports.choosing import measured_references, measured_trials
from reports.encoding import report_from_dict
from reports.terminal import front_table, references_table, repeatability_table
from service.api.schemas import StudyOut
from service.client import Client
from service.commands.options import require_writable
from service.commands.study import read_file
from service.demo_service import DemoService
from service.errors import Conflict, ServiceError
from service.settings import Settings
from service.study_document import read_document
from service.study_watch import watch_study

REPEATED_CANDIDATES = 12
SEED_STEP = 1
STOPPED = frozenset({"failed", "cancelled"})


@dataclass(frozen=True)
class DemoWishes:
    """What the command line asked for."""

    study: Path | None
    keep: bool
    repeat: bool
    fresh: bool
    out: Path | None


def run_demo(settings: Settings, wishes: DemoWishes) -> None:
    """Serve ▸ submit ▸ watch ▸ report; interrupted, the next run goes on where this one stopped."""
    console = Console()
    if wishes.out is not None:
        require_writable(wishes.out, "--out")
    document = read_file(wishes.study) if wishes.study else packaged_study()
    with DemoService(settings, wishes.keep, console) as service, service.client() as client:
        study = join_or_submit(client, document, wishes.fresh)
        link = f"{service.url}{client.make_link().path}&next={study.page}"
        console.print(f"study {study.name}: watch it at {link} (opens once)", soft_wrap=True)
        if study.state in STOPPED:
            console.print(Text(visible_line(f"it had stopped ({study.detail}); it goes on")), soft_wrap=True)
            client.resume_study(study.name)
        if wishes.repeat:
            client.repeat(study.name, REPEATED_CANDIDATES)
        try:
            ended = watch_study(client, study.name, console)
        except KeyboardInterrupt:
            console.print(_how_to_go_on(study.name, wishes), soft_wrap=True)
            raise
        _show_end(
            client, ended, wishes.out or settings.data_folder / "reports" / f"{study.name}.html", console
        )
        service.say_how_it_goes_on(study.page)
    if ended.state != "finished":
        raise ServiceError(f"the study {ended.name} {ended.state}: {ended.detail}")


def _how_to_go_on(name: str, wishes: DemoWishes) -> str:
    told = "interrupted; nothing that was measured is lost"
    if not wishes.fresh:
        return f"{told}: the next run goes on from here"
    return f"{told}: the study {name} goes on under `loopfront up`; `loopfront study cancel {name}` ends it"


def packaged_study() -> str:
    """Read the pocket study that ships with the package."""
    return (resources.files("service.examples") / "pocket.yaml").read_text(encoding="utf-8")


def join_or_submit(client: Client, document: str, fresh: bool) -> StudyOut:
    """Find the study of this very document, whoever submitted it, or submit one; `fresh` always submits."""
    if fresh:
        return client.submit_study(_renamed(client, document))
    valid = client.validate_study(document)
    for study in client.studies():
        if study.document_digest == valid.document_digest:
            return client.study(study.name)
        if study.name == valid.name:
            raise Conflict(
                f"there is another study named {valid.name!r}, of a different file",
                field="study",
                hint="name yours differently, or begin it anew under a free name with `loopfront demo --fresh`",
                code="name-taken",
            )
    return client.submit_study(document)


def _renamed(client: Client, document: str) -> str:
    """Give the study the next free name, and a seed that no earlier one had."""
    values = read_document(document)
    name, taken = str(values.get("study", "study")), {study.name for study in client.studies()}
    # Numbered even where the name is free: the file's own study is for the run that goes on with it.
    number = next(number for number in range(2, len(taken) + 3) if f"{name}-{number}" not in taken)
    seed = values.get("seed", 0)
    values["study"] = f"{name}-{number}"
    values["seed"] = seed + number * SEED_STEP if isinstance(seed, int) else seed
    return json.dumps(values, default=str)  # a date is no value of a study file: the service says so


def _show_end(client: Client, study: StudyOut, path: Path, console: Console) -> None:
    report = report_from_dict(client.report(study.name))
    if measured_trials(report):
        console.print(front_table(report))
        if measured_references(report):
            console.print(references_table(report))
    if report.repeatability:
        console.print(repeatability_table(report))
    path.parent.mkdir(parents=True, exist_ok=True)
    client.save_report_html(study.name, path)
    console.print(f"report: {path}", soft_wrap=True)
