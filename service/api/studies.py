"""Studies: submit, validate, list, read, cancel, enqueue, repeat, and their reports."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from sqlalchemy.orm import Session

from reports.encoding import progress_to_dict, report_to_dict
from reports.html import render_report
from service.api.dependencies import ServiceParts
from service.api.schemas import CandidatesGiven, CandidatesQueued, RepeatsGiven, StudyOut, StudyValid
from service.device_limits import refuse_threads
from service.device_state import DOCTOR
from service.errors import BadInput, Conflict
from service.known_layouts import NamedArchitecture, at_budget, document_at_budget, require_windows_within
from service.parts import Parts
from service.store import studies, trials
from service.store.agents import LOCAL, Devices
from service.store.jobs import Jobs
from service.store.rows import StudyRow
from service.store.stations import Stations
from service.store.studies import Studies, StudyDraft
from service.study_file import StudyDefinition, read_study, stored_study
from service.study_lead import add_known, find_device, resume
from service.study_progress import progress_of
from service.study_report import study_report
from service.study_rows import read_rows

router = APIRouter(prefix="/studies", tags=["studies"])

StudyKey = Annotated[str, Path(max_length=100)]
STUDY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}
SUBMITTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "the study of this Idempotency-Key, or of this very document"},
    201: {"description": "created"},
}


@router.post("", response_model=StudyOut, responses=SUBMITTED, status_code=201, openapi_extra=STUDY_BODY)
async def submit(
    request: Request,
    response: Response,
    parts: ServiceParts,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> StudyOut:
    """Submit a study file as YAML or JSON; the same Idempotency-Key, or the same document, gives the same study."""
    content = await request.body()
    study, created = await run_in_threadpool(_submit, parts, content, idempotency_key)
    response.status_code = 201 if created else 200
    return study


@router.post("/validate", response_model=StudyValid, openapi_extra=STUDY_BODY)
async def validate(request: Request, parts: ServiceParts) -> StudyValid:
    """Check a study file and say what it means; nothing is created."""
    content = await request.body()
    return await run_in_threadpool(_validate, parts, content)


@router.get("")
def list_studies(parts: ServiceParts) -> list[StudyOut]:
    """List every study, newest first."""
    with parts.database.read() as session:
        return [_shown(session, row) for row in Studies(session).all()]


@router.get("/{name}")
def read(name: StudyKey, parts: ServiceParts) -> StudyOut:
    """Read a study and its progress."""
    with parts.database.read() as session:
        return _shown(session, Studies(session).find(name), parts.trouble)


@router.post("/{name}/cancel")
def cancel(name: StudyKey, parts: ServiceParts) -> StudyOut:
    """Stop a study; what was measured stays, and what is being measured may still report."""
    with parts.database.write() as session:
        row = Studies(session).find(name)
        if Studies(session).move(row.id, studies.ACTIVE, studies.CANCELLED, "cancelled by a user"):
            Jobs(session).cancel_abandoned()
    parts.bell.ring()
    return read(name, parts)


@router.post("/{name}/resume")
def resume_study(name: StudyKey, parts: ServiceParts) -> StudyOut:
    """Let a study that failed or was cancelled go on; nothing that was measured is measured again."""
    with parts.database.write() as session:
        resume(session, Studies(session).find(name).id)
    parts.bell.ring()
    return read(name, parts)


@router.post("/{name}/candidates")
def enqueue(name: StudyKey, given: CandidatesGiven, parts: ServiceParts) -> CandidatesQueued:
    """Add known layouts, or whole architectures, to a study; they run next."""
    with parts.database.read() as session:
        document = Studies(session).find(name).document
    known = _known_candidates(given, stored_study(document))
    with parts.database.write() as session:
        row = Studies(session).find(name)
        if row.state in studies.STOPPED:
            raise Conflict(
                f"the study {name!r} is {row.state}", hint=f"resume it first: loopfront study resume {name}"
            )
        numbers = [add_known(session, row.id, trials.ENQUEUED, each) for each in known]
        Studies(session).move(row.id, (studies.FINISHED, studies.REPEATING), studies.RUNNING)
    parts.bell.ring()
    return CandidatesQueued(numbers=numbers)


@router.post("/{name}/repeats")
def repeat(name: StudyKey, given: RepeatsGiven, parts: ServiceParts) -> StudyOut:
    """Measure finished candidates of a study again, at its end."""
    with parts.database.write() as session:
        row = Studies(session).find(name)
        if row.state in studies.STOPPED:
            raise Conflict(
                f"the study {name!r} is {row.state}", hint=f"resume it first: loopfront study resume {name}"
            )
        row.repeats_requested = max(row.repeats_requested, given.count)
        Studies(session).move(row.id, (studies.FINISHED,), studies.RUNNING)
    parts.bell.ring()
    return read(name, parts)


@router.get("/{name}/report")
def report(name: StudyKey, parts: ServiceParts) -> JSONResponse:
    """Read a study's whole report as JSON rows."""
    with parts.database.read() as session:
        return JSONResponse(report_to_dict(study_report(session, parts.measured, name)))


@router.get("/{name}/report.html", response_class=HTMLResponse)
def report_html(name: StudyKey, parts: ServiceParts) -> HTMLResponse:
    """Download a study's report as one self-contained page."""
    with parts.database.read() as session:
        found = study_report(session, parts.measured, name)
    headers = {"Content-Disposition": f'inline; filename="{found.name}.html"'}
    return HTMLResponse(render_report(found), headers=headers)


def _submit(parts: Parts, content: bytes, key: str | None) -> tuple[StudyOut, bool]:
    definition = read_study(content)
    with parts.database.write() as session:
        require_devices(session, definition)
        draft = StudyDraft(definition.name, definition.document, definition.digest, key)
        row, created = Studies(session).submit(draft)
        shown = _shown(session, row)
    parts.bell.ring()
    return shown, created


def _validate(parts: Parts, content: bytes) -> StudyValid:
    definition = read_study(content)
    with parts.database.read() as session:
        require_devices(session, definition)
    return StudyValid(
        name=definition.name,
        document=dict(definition.document),
        document_digest=definition.digest,
        trials=definition.trials,
        references={each.label: each.architecture.layout for each in definition.references},
    )


def require_devices(session: Session, definition: StudyDefinition) -> None:
    """Refuse a target that no device answers to, or that can't do the workload; `local` may still be registering."""
    for target in definition.targets:
        device = find_device(session, target)
        if device is not None:
            refuse_threads(device, definition.workload.threads)
        if device is not None or target.device == LOCAL:
            continue
        station = Stations(session).unopened_named(target.device or "")
        if station is not None:
            trouble = f"{station.name} can't be opened: {station.words}"
            raise BadInput(trouble, field=f"targets.{target.name}.device", hint=DOCTOR)
        names = [row.name for row in Devices(session).all()]
        wanted = repr(target.device) if target.device else dict(target.labels)
        raise BadInput(
            f"no device answers to {wanted}",
            field=f"targets.{target.name}.{'device' if target.device else 'labels'}",
            hint=f"known are {', '.join([LOCAL, *names])}",
        )


def _known_candidates(given: CandidatesGiven, definition: StudyDefinition) -> list[NamedArchitecture]:
    if not given.layouts and not given.architectures:
        raise BadInput("nothing to enqueue", field="layouts", hint='such as {"layouts": ["CCACCA"]}')
    found = [
        at_budget(layout, f"layouts[{index}]", definition.space, definition.budget)
        for index, layout in enumerate(given.layouts)
    ]
    for index, document in enumerate(given.architectures):
        place = f"architectures[{index}]"
        known = document_at_budget(document, place, definition.space, definition.budget)
        found.append(require_windows_within(known, definition.workload, place))
    return found


def _shown(session: Session, row: StudyRow, trouble: str = "") -> StudyOut:
    progress = progress_of(read_rows(session, row.id))
    if trouble and row.state in studies.ACTIVE:
        progress = replace(progress, message=trouble)
    return StudyOut(
        id=row.id,
        name=row.name,
        state=row.state,
        detail=row.detail,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        document_digest=row.document_digest,
        progress=progress_to_dict(progress),
        page=f"/studies/{row.name}",
        report=f"/api/v1/studies/{row.name}/report.html",
    )
