"""Studies: submit, validate, list, read, pause, resume, cancel, clone, extend, delete, and their reports."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from sqlalchemy.orm import Session

from reports.encoding import progress_to_dict, report_to_dict
from reports.html import render_report
from service.api.authorisation import AuditedRoute, reads, submits
from service.api.dependencies import ServiceParts
from service.api.paging import Cursor, Limit, read_place, written_place
from service.api.schemas import (
    CandidatesGiven,
    CandidatesQueued,
    ExampleCandidate,
    Forecast,
    RepeatsGiven,
    SpaceSize,
    StudyChange,
    StudyClone,
    StudyDeleted,
    StudyExtension,
    StudyOut,
    StudyPage,
    StudySummary,
    StudyValid,
    TargetForecast,
)
from service.device_limits import refuse_threads
from service.device_state import DOCTOR
from service.errors import BadInput, Conflict
from service.forecast import StudyForecast, forecast
from service.known_layouts import NamedArchitecture, at_budget, document_at_budget, require_windows_within
from service.merge_patch import merge_patched
from service.parts import Parts
from service.space_view import view_space
from service.store import studies, trials
from service.store.agents import LOCAL, Devices
from service.store.jobs import Jobs
from service.store.rows import StudyRow
from service.store.shares import Shares
from service.store.stations import Stations
from service.store.studies import Studies, StudyDraft, StudyFilter
from service.study_file import StudyDefinition, define_study, read_study, stored_study
from service.study_lead import add_known, find_device, resume
from service.study_progress import progress_of
from service.study_report import study_report
from service.study_rows import read_rows

router = APIRouter(prefix="/studies", tags=["studies"], dependencies=[reads], route_class=AuditedRoute)

StudyKey = Annotated[str, Path(max_length=100)]
StudyState = Literal[
    "waiting", "calibrating", "running", "repeating", "finished", "paused", "cancelled", "failed"
]
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


@router.post(
    "",
    dependencies=[submits],
    response_model=StudyOut,
    responses=SUBMITTED,
    status_code=201,
    openapi_extra=STUDY_BODY,
)
async def submit(
    request: Request,
    response: Response,
    parts: ServiceParts,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
    priority: Annotated[int, Query(ge=-100, le=100, description="the highest first on a device")] = 0,
) -> StudyOut:
    """Submit a study file as YAML or JSON; the same Idempotency-Key, or the same document, gives the same study."""
    content = await request.body()
    definition = await run_in_threadpool(read_study, content)
    study, created = await run_in_threadpool(_submit, parts, definition, idempotency_key, priority)
    response.status_code = 201 if created else 200
    return study


@router.post("/validate", response_model=StudyValid, openapi_extra=STUDY_BODY)
async def validate(request: Request, parts: ServiceParts) -> StudyValid:
    """Check a study file and say what it means; nothing is created."""
    content = await request.body()
    return await run_in_threadpool(_validate, parts, content)


@router.get("")
def list_studies(
    parts: ServiceParts,
    state: Annotated[list[StudyState] | None, Query(max_length=20)] = None,
    text: Annotated[str, Query(max_length=100, description="only names that contain it")] = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> StudyPage:
    """List studies, newest first, a page at a time."""
    before = read_place(cursor)
    with parts.database.read() as session:
        rows = Studies(session).page(StudyFilter(tuple(state or ()), text), before, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return StudyPage(
        items=[_summary(row) for row in rows[:limit]],
        next_cursor=written_place(last.created_at, last.id) if last is not None else None,
    )


@router.get("/{name}")
def read(name: StudyKey, parts: ServiceParts) -> StudyOut:
    """Read a study and its progress."""
    with parts.database.read() as session:
        return _shown(session, Studies(session).find(name), parts.trouble)


@router.patch("/{name}", dependencies=[submits])
def change(name: StudyKey, given: StudyChange, parts: ServiceParts) -> StudyOut:
    """Change a study's priority; it holds from the next job on."""
    with parts.database.write() as session:
        Studies(session).find(name).priority = given.priority
    return read(name, parts)


@router.delete("/{name}", dependencies=[submits])
def delete(
    name: StudyKey,
    parts: ServiceParts,
    confirm: Annotated[str, Query(max_length=100, description="the study's name, once more")] = "",
) -> StudyDeleted:
    """Forget a study that has stopped, with its trials; what was measured stays for other studies."""
    with parts.database.write() as session:
        row = Studies(session).find(name)
        if confirm != row.name:
            raise BadInput(
                f"deleting {row.name!r} forgets its {row.trials_counted} trials for good",
                field="confirm",
                hint=f"if you mean it, add confirm={row.name}",
                code="not-confirmed",
            )
        if row.state in studies.ACTIVE:
            raise Conflict(
                f"the study {row.name!r} is {row.state}",
                hint=f"stop it first: loopfront study cancel {row.name}",
            )
        deleted = StudyDeleted(name=row.name, trials=row.trials_counted)
        Jobs(session).drop(row.id)
        Studies(session).delete(row.id)
    parts.bell.ring()
    return deleted


@router.post("/{name}/pause", dependencies=[submits])
def pause(name: StudyKey, parts: ServiceParts) -> StudyOut:
    """Stop a study for a while; what is being measured may still report, and counts when it is resumed."""
    return _stopped(parts, name, studies.PAUSED, "paused by a user")


@router.post("/{name}/cancel", dependencies=[submits])
def cancel(name: StudyKey, parts: ServiceParts) -> StudyOut:
    """Stop a study; what was measured stays, and what is being measured may still report."""
    return _stopped(parts, name, studies.CANCELLED, "cancelled by a user")


@router.post("/{name}/resume", dependencies=[submits])
def resume_study(name: StudyKey, parts: ServiceParts) -> StudyOut:
    """Let a study that was paused, failed or was cancelled go on; nothing that was measured is measured again."""
    with parts.database.write() as session:
        resume(session, Studies(session).find(name).id)
    parts.bell.ring()
    return read(name, parts)


@router.post("/{name}/extend", dependencies=[submits])
def extend(name: StudyKey, given: StudyExtension, parts: ServiceParts) -> StudyOut:
    """Let a study go on for more trials or device-minutes; one that has finished runs again."""
    if not given.trials and not given.device_minutes:
        raise BadInput("nothing to add", field="trials", hint='such as {"trials": 10}')
    with parts.database.write() as session:
        row = Studies(session).find(name)
        _refuse_stopped(row)
        if given.device_minutes and row.device_minutes_wanted is None:
            raise Conflict(
                f"the study {name!r} has no limit of device-minutes",
                field="device_minutes",
                hint="add trials",
            )
        Studies(session).extend(row.id, given.trials, given.device_minutes)
    parts.bell.ring()
    return read(name, parts)


@router.post("/{name}/clone", dependencies=[submits], status_code=201)
async def clone(name: StudyKey, given: StudyClone, parts: ServiceParts) -> StudyOut:
    """Submit a study like this one under another name, with changes as a JSON merge patch."""
    return await run_in_threadpool(_clone, parts, name, given)


@router.post("/{name}/candidates", dependencies=[submits])
def enqueue(name: StudyKey, given: CandidatesGiven, parts: ServiceParts) -> CandidatesQueued:
    """Add known layouts, or whole architectures, to a study; they run next."""
    with parts.database.read() as session:
        document = Studies(session).find(name).document
    known = _known_candidates(given, stored_study(document))
    with parts.database.write() as session:
        row = Studies(session).find(name)
        _refuse_stopped(row)
        numbers = [add_known(session, row.id, trials.ENQUEUED, each) for each in known]
        Studies(session).move(row.id, (studies.FINISHED, studies.REPEATING), studies.RUNNING)
    parts.bell.ring()
    return CandidatesQueued(numbers=numbers)


@router.post("/{name}/repeats", dependencies=[submits])
def repeat(name: StudyKey, given: RepeatsGiven, parts: ServiceParts) -> StudyOut:
    """Measure finished candidates of a study again, at its end."""
    with parts.database.write() as session:
        row = Studies(session).find(name)
        _refuse_stopped(row)
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


def _submit(
    parts: Parts, definition: StudyDefinition, key: str | None, priority: int
) -> tuple[StudyOut, bool]:
    with parts.database.write() as session:
        require_devices(session, definition)
        draft = StudyDraft(
            definition.name,
            definition.document,
            definition.digest,
            key,
            definition.trials,
            definition.device_minutes,
            priority,
        )
        row, created = Studies(session).submit(draft)
        shown = _shown(session, row)
    parts.bell.ring()
    return shown, created


def _clone(parts: Parts, name: str, given: StudyClone) -> StudyOut:
    with parts.database.read() as session:
        row = Studies(session).find(name)
    document = merge_patched(row.document, {**given.changes, "study": given.study})
    shown, is_new = _submit(parts, define_study(document), None, row.priority)
    if not is_new:
        raise Conflict(
            f"there is a study named {given.study!r} already, of this very file",
            field="study",
            hint="choose another name",
            code="name-taken",
        )
    return shown


def _stopped(parts: Parts, name: str, state: str, detail: str) -> StudyOut:
    with parts.database.write() as session:
        row = Studies(session).find(name)
        # A paused study can be cancelled; pausing it again changes nothing.
        stoppable = studies.ACTIVE if state == studies.PAUSED else (*studies.ACTIVE, studies.PAUSED)
        if Studies(session).move(row.id, stoppable, state, detail):
            Jobs(session).cancel_abandoned()
    parts.bell.ring()
    return read(name, parts)


def _refuse_stopped(row: StudyRow) -> None:
    if row.state in studies.STOPPED:
        raise Conflict(
            f"the study {row.name!r} is {row.state}",
            hint=f"resume it first: loopfront study resume {row.name}",
        )


def _validate(parts: Parts, content: bytes) -> StudyValid:
    definition = read_study(content)
    with parts.database.read() as session:
        require_devices(session, definition)
        ahead = forecast(session, definition)
    view = view_space(definition)
    return StudyValid(
        name=definition.name,
        document=dict(definition.document),
        document_digest=definition.digest,
        trials=definition.trials,
        references={each.label: each.architecture.layout for each in definition.references},
        space=SpaceSize(
            widths=list(view.widths),
            depths=list(view.depths),
            dimensions=view.dimensions,
            architectures_at_most=view.architectures_at_most,
        ),
        example=ExampleCandidate(
            layout=view.example.layout,
            hidden_size=view.example.hidden_size,
            parameters=view.example_parameters,
            embedding_ratio=view.example_embedding_ratio,
        ),
        forecast=_forecast_out(ahead),
    )


def _forecast_out(ahead: StudyForecast) -> Forecast:
    targets = [
        TargetForecast(
            target=each.target,
            device=each.device,
            device_minutes_low=each.seconds.low / 60,
            device_minutes_high=each.seconds.high / 60,
            waiting_studies=each.waiting_studies,
            based_on=each.based_on,
        )
        for each in ahead.targets
    ]
    return Forecast(
        targets=targets,
        device_minutes_low=sum(each.device_minutes_low for each in targets),
        device_minutes_high=sum(each.device_minutes_high for each in targets),
        ends_at_earliest=ahead.ends_at_earliest,
        ends_at_latest=ahead.ends_at_latest,
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
        priority=row.priority,
        device_minutes=Shares(session).used_seconds(row.id) / 60,
        device_minutes_wanted=row.device_minutes_wanted,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        document_digest=row.document_digest,
        progress=progress_to_dict(progress),
        page=f"/studies/{row.name}",
        report=f"/api/v1/studies/{row.name}/report.html",
    )


def _summary(row: StudyRow) -> StudySummary:
    return StudySummary(
        id=row.id,
        name=row.name,
        state=row.state,
        detail=row.detail,
        priority=row.priority,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        trials_wanted=max(row.trials_wanted, row.trials_counted),
        trials_done=row.trials_done,
        trials_failed=row.trials_failed,
        front_size=row.front_size,
        document_digest=row.document_digest,
        page=f"/studies/{row.name}",
    )
