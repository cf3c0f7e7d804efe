"""The pages for people: the list of studies, a study's live page, a trial with everything behind it."""

from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from reports.pages import (
    render_attempts_page,
    render_devices,
    render_index,
    render_study_page,
    render_trial_page,
)
from reports.profile_page import render_profile_page
from reports.rows import DeviceSummaryRow, PageUrls, StudySummaryRow, TrialDetail
from service.api.attempts import device_attempts, trial_attempts
from service.api.authorisation import principal_of
from service.api.dependencies import ServiceParts
from service.api.devices import list_devices, list_unregistered
from service.api.login import NotLoggedIn
from service.api.profiles import newest_profile, profile_page
from service.attempt_rows import attempt_row
from service.device_rows import device_rows
from service.errors import NotAuthorised, NotFound
from service.parts import Parts
from service.profile_report import profile_report
from service.rights import Right
from service.store.profiles import Profiles
from service.store.rows import StudyRow
from service.store.shares import Shares
from service.store.studies import Studies, StudyFilter
from service.study_report import study_report


async def require_session(request: Request) -> None:
    """Let only who may read see pages; a browser without a session is sent to log in."""
    try:
        principal = await principal_of(request)
    except NotAuthorised:
        query = f"?{request.url.query}" if request.url.query else ""
        raise NotLoggedIn(request.url.path + query) from None
    if not principal.may(Right.READ):
        raise NotLoggedIn(request.url.path)


router = APIRouter(
    include_in_schema=False, default_response_class=HTMLResponse, dependencies=[Depends(require_session)]
)
DeviceKey = Annotated[str, Path(max_length=200)]
StudyKey = Annotated[str, Path(max_length=100)]
NEWEST = 50
"""Studies on the first page; `loopfront study list` has them all."""


@router.get("/")
def index(parts: ServiceParts) -> HTMLResponse:
    """Show the newest studies and every device."""
    with parts.database.read() as session:
        newest = Studies(session).page(StudyFilter(), None, NEWEST)
        studies = tuple(_study_line(session, row) for row in newest)
    return HTMLResponse(render_index(studies, _device_rows(parts), PageUrls(page="/"), parts.trouble))


@router.get("/devices")
def devices_page(parts: ServiceParts) -> HTMLResponse:
    """Show every device that an agent knows: whether it can be measured, and what to type where not."""
    return HTMLResponse(render_devices(_device_rows(parts), PageUrls(page="/devices"), parts.trouble))


@router.get("/devices/{name}/profile")
def device_profile_page(name: DeviceKey, parts: ServiceParts) -> HTMLResponse:
    """Show a device's newest profile as it is now; the page refreshes itself while it is measured."""
    with parts.database.read() as session:
        row = newest_profile(session, name)
        report = profile_report(session, row)
    api = f"/api/v1/profiles/{row.id}"
    urls = PageUrls(page=quote(profile_page(report.device)), report_html=f"{api}/page.html", report_json=api)
    return HTMLResponse(render_profile_page(report, urls))


@router.get("/studies/{name}")
def study_page(name: StudyKey, parts: ServiceParts) -> HTMLResponse:
    """Show a study as it is now; the page refreshes itself."""
    with parts.database.read() as session:
        report = study_report(session, parts.measured, name, with_details=False)
    return HTMLResponse(render_study_page(report, _urls(report.name), parts.trouble))


@router.get("/studies/{name}/trials/{number}")
def trial_page(name: StudyKey, number: int, parts: ServiceParts) -> HTMLResponse:
    """Show one trial down to its raw samples and its passport."""
    with parts.database.read() as session:
        report = study_report(session, parts.measured, name)
    if all(trial.number != number for trial in report.trials):
        raise NotFound(
            f"the study {name!r} has no trial {number}", field="number", hint="its page lists them"
        )
    attempts = [attempt_row(each) for each in trial_attempts(name, number, parts)]
    detail = report.details.get(number, TrialDetail())
    return HTMLResponse(render_trial_page(report, number, detail, _urls(report.name), attempts))


@router.get("/devices/{name}/attempts")
def attempts_page(name: StudyKey, parts: ServiceParts) -> HTMLResponse:
    """Show the newest attempts at measuring on a device, with their logs."""
    attempts = [attempt_row(each) for each in device_attempts(name, parts)]
    return HTMLResponse(render_attempts_page(name, attempts, PageUrls(page="")))


def _urls(name: str) -> PageUrls:
    api = f"/api/v1/studies/{name}"
    return PageUrls(page=f"/studies/{name}", report_html=f"{api}/report.html", report_json=f"{api}/report")


def _study_line(session: Session, row: StudyRow) -> StudySummaryRow:
    return StudySummaryRow(
        name=row.name,
        state=row.state,
        created_at=row.created_at.isoformat(timespec="seconds"),
        requested_trials=max(row.trials_wanted, row.trials_counted),
        trials_done=row.trials_done,
        trials_failed=row.trials_failed,
        front_size=row.front_size,
        targets=tuple(sorted(row.document["targets"])),
        href=f"/studies/{row.name}",
        device_seconds=Shares(session).used_seconds(row.id),
    )


def _device_rows(parts: Parts) -> tuple[DeviceSummaryRow, ...]:
    """Show every device, with a way to its profile where there is one."""
    listed = list_devices(parts)
    with parts.database.read() as session:
        profiled = Profiles(session).devices_with_one()
    pages = {each.name: quote(profile_page(each.name)) for each in listed if each.id in profiled}
    rows = device_rows(listed, list_unregistered(parts))
    return tuple(replace(row, profile_href=pages.get(row.name, "")) for row in rows)
