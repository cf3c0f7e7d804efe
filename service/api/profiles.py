"""Profiles of devices: what each can tell at once."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from devices.plan import Workload
from operators.references import REFERENCES, reference
from operators.registry import MIXERS
from reports.encoding import profile_to_dict
from reports.profile_page import render_profile_file
from service.api.authorisation import AuditedRoute, manages_devices, reads
from service.api.dependencies import ServiceParts
from service.api.schemas import ProfileOut, ProfileWish
from service.device_limits import refuse_threads
from service.device_state import DOCTOR
from service.errors import BadInput, NotFound
from service.known_layouts import NamedArchitecture, require_windows_within
from service.profile_lead import begin_profile, cancel_profile
from service.profile_report import profile_report
from service.profile_scope import DEFAULT_MIXERS, GENERATE_TOKENS, ProfileScope
from service.store.agents import Devices
from service.store.profiles import Profiles
from service.store.rows import DeviceProfileRow, DeviceRow
from service.store.stations import Stations
from service.study_file import Target
from service.study_lead import find_device

router = APIRouter(tags=["devices"], dependencies=[reads], route_class=AuditedRoute)
DeviceKey = Annotated[str, Path(max_length=200)]
ProfileId = Annotated[str, Path(max_length=100)]


@router.post("/devices/{device}/profile", dependencies=[manages_devices], status_code=202)
def request_profile(device: DeviceKey, wish: ProfileWish, parts: ServiceParts) -> ProfileOut:
    """Have a device profiled: join a profile under way, get the one that is complete, or begin one."""
    scope = _scope(wish)
    with parts.database.write() as session:
        found = find_profiled(session, device)
        refuse_threads(found, wish.threads)
        row = begin_profile(session, found, scope, wish.again)
    parts.bell.ring()
    return read_profile(row.id, parts)


@router.get("/devices/{device}/profile")
def read_device_profile(device: DeviceKey, parts: ServiceParts) -> ProfileOut:
    """Read a device's newest profile, finished or not."""
    with parts.database.read() as session:
        return _shown(session, newest_profile(session, device))


@router.get("/profiles/{profile_id}")
def read_profile(profile_id: ProfileId, parts: ServiceParts) -> ProfileOut:
    """Read how far a profile is, and all that is known so far."""
    with parts.database.read() as session:
        return _shown(session, Profiles(session).get(profile_id))


@router.post("/profiles/{profile_id}/cancel", dependencies=[manages_devices])
def stop_profile(profile_id: ProfileId, parts: ServiceParts) -> ProfileOut:
    """Stop a profile; what was measured stays, and another one begins where it stopped."""
    with parts.database.write() as session:
        cancel_profile(session, profile_id)
    return read_profile(profile_id, parts)


@router.get("/profiles/{profile_id}/page.html", response_class=HTMLResponse)
def read_profile_file(profile_id: ProfileId, parts: ServiceParts) -> HTMLResponse:
    """Give a profile as one HTML file that needs no network."""
    with parts.database.read() as session:
        report = profile_report(session, Profiles(session).get(profile_id))
    return HTMLResponse(render_profile_file(report))


def find_profiled(session: Session, name: str) -> DeviceRow:
    """Find a device by its name or id; `local` is the service's own machine."""
    device = find_device(session, Target(name, name, ()))
    if device is None:
        station = Stations(session).unopened_named(name)
        if station is not None:
            raise BadInput(f"{name} can't be opened: {station.words}", field="device", hint=DOCTOR)
        names = ", ".join(row.name for row in Devices(session).all())
        hint = f"known are {names}" if names else "none is registered yet: start an agent"
        raise NotFound(f"no device answers to {name!r}", field="device", hint=hint)
    return device


def newest_profile(session: Session, name: str) -> DeviceProfileRow:
    """Find a device's newest profile."""
    device = find_profiled(session, name)
    found = Profiles(session).of_device(device.id)
    if not found:
        raise NotFound(
            f"{device.name} has no profile yet",
            field="device",
            hint=f"measure one: loopfront device profile {device.name}",
        )
    return found[0]


def profile_page(device_name: str) -> str:
    """Say where a device's profile is shown."""
    return f"/devices/{device_name}/profile"


def _scope(wish: ProfileWish) -> ProfileScope:
    mixers = DEFAULT_MIXERS if wish.mixers is None else wish.mixers
    for field, given, known in (("mixers", mixers, MIXERS), ("shapes", wish.shapes, REFERENCES)):
        unknown = next((name for name in given if name not in known), None)
        if unknown is not None:
            hint = f"known are {', '.join(known)}"
            raise BadInput(f"{unknown!r} can't be used", field=field, hint=hint)
    if wish.contexts != sorted(set(wish.contexts)):
        raise BadInput(
            f"{wish.contexts} can't be used",
            field="contexts",
            hint="list them from the shortest to the longest, each once",
        )
    at_first = Workload(wish.prompt_tokens, wish.contexts[0], GENERATE_TOKENS)
    for name in wish.shapes:
        require_windows_within(NamedArchitecture(name, reference(name)), at_first, "shapes")
    return ProfileScope(
        width=wish.width,
        prompt_tokens=wish.prompt_tokens,
        contexts=tuple(wish.contexts),
        mixers=tuple(dict.fromkeys(mixers)),
        shapes=tuple(dict.fromkeys(wish.shapes)),
        threads=wish.threads,
    )


def _shown(session: Session, row: DeviceProfileRow) -> ProfileOut:
    report = profile_report(session, row)
    return ProfileOut(
        id=row.id,
        device=report.device,
        state=row.state,
        detail=row.detail,
        step=report.step,
        entries_done=report.entries_done,
        entries_total=len(report.entries),
        seconds_left=report.seconds_left,
        created_at=row.created_at,
        finished_at=row.finished_at,
        page=profile_page(report.device),
        report=profile_to_dict(report),
    )
