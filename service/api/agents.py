"""Agents: register, and wait for the next job of an idle device."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.orm import Session

from service import leases
from service.api.authorisation import AuditedRoute, address_of, reads
from service.api.dependencies import (
    PROTOCOL,
    AgentPrincipal,
    AgentTurns,
    ServiceParts,
    require_agent,
    require_own,
    require_protocol,
)
from service.api.schemas import (
    AgentEnrolled,
    AgentEnrolment,
    AgentOut,
    AgentRegistered,
    AgentRegistration,
    DeviceKnown,
    LeaseGranted,
    LeaseWish,
    StationsGiven,
    Stored,
    VersionOut,
)
from service.device_state import is_online
from service.errors import Conflict
from service.parts import Parts
from service.rights import Principal
from service.store.agents import Agents, DeviceRegistration, Devices
from service.store.database import database_now, one_at_a_time
from service.store.jobs import Jobs
from service.store.stations import StationGiven, Stations
from service.version import VERSION
from service.work_watch import WorkWatch

router = APIRouter(prefix="/agents", tags=["agents"], dependencies=[Depends(require_agent)])
open_router = APIRouter(prefix="/agents", tags=["agents"], dependencies=[reads])
"""What others may ask about agents."""
enrolling_router = APIRouter(
    prefix="/agents", tags=["agents"], dependencies=[Depends(require_protocol)], route_class=AuditedRoute
)
"""What an agent may ask before it has a token."""
AgentId = Annotated[str, Path(max_length=100)]


@open_router.get("")
def list_agents(parts: ServiceParts) -> list[AgentOut]:
    """List every agent, oldest first."""
    with parts.database.read() as session:
        now = database_now(session)
        served: dict[str, list[str]] = {}
        for device in Devices(session).all():
            served.setdefault(device.agent_id, []).append(device.name)
        return [
            AgentOut(
                id=row.id,
                name=row.name,
                created_at=row.created_at,
                last_seen_at=row.last_seen_at,
                online=is_online(row, now),
                devices=served.get(row.id, []),
            )
            for row in Agents(session).all()
        ]


@router.get("/hello")
def hello() -> VersionOut:
    """Answer an agent that is welcome: it speaks the protocol and shows the token."""
    return VersionOut(version=VERSION, protocol=PROTOCOL)


@enrolling_router.post("/enrol", status_code=201)
def enrol(given: AgentEnrolment, request: Request, parts: ServiceParts) -> AgentEnrolled:
    """Give an agent a token of its own for an enrolment code, which counts once."""

    def register_unless_at_work(session: Session) -> str:
        known = Agents(session).with_identity(given.identity)
        if known is not None and is_online(known, database_now(session)):
            raise Conflict(
                f"the agent {known.name!r} of this identity is at work",
                field="identity",
                hint="stop it there, wait a minute and enrol again; the code still counts",
                code="at-work",
            )
        return Agents(session).register(given.identity, given.name).id

    agent_id, token = parts.gatekeeper.enrol(
        given.code, given.name, register_unless_at_work, address_of(request)
    )
    return AgentEnrolled(agent_id=agent_id, token=token)


@router.post("")
def register(given: AgentRegistration, parts: ServiceParts, principal: AgentPrincipal) -> AgentRegistered:
    """Register an agent and the devices it can reach; safe to repeat."""
    with parts.database.write() as session:
        one_at_a_time(session, "registering")
        agent = Agents(session).register(given.identity, given.name)
        require_own(principal, agent.id)
        _refuse_others_devices(session, principal, given)
        if given.is_start:  # what it held before, nobody is measuring
            Jobs(session).end_leases_of(agent.id)
        devices = [
            Devices(session).register(
                agent.id, DeviceRegistration(each.identity, each.name, each.kind, each.labels, each.facts)
            )
            for each in given.devices
        ]
        known = [DeviceKnown(device_id=row.id, identity=row.identity, name=row.name) for row in devices]
    parts.bell.ring()
    return AgentRegistered(agent_id=agent.id, devices=known)


def _refuse_others_devices(session: Session, principal: Principal, given: AgentRegistration) -> None:
    """Let no enrolled agent take a device from under one that is serving it."""
    if principal.agent_id is None:
        return
    for each in given.devices:
        device = Devices(session).with_identity(each.identity)
        holder = None if device is None else Agents(session).get(device.agent_id)
        if holder is None or holder.id == principal.agent_id or not is_online(holder, database_now(session)):
            continue
        raise Conflict(
            f"the device {each.name!r} is served by the agent {holder.name!r}",
            field="devices",
            hint=f"stop serving it there: take it out of the agent.toml of {holder.name}",
            code="served-elsewhere",
        )


@router.put("/{agent_id}/stations")
def tell_stations(
    agent_id: AgentId, given: StationsGiven, parts: ServiceParts, principal: AgentPrincipal
) -> Stored:
    """Say how an agent stands to every device it knows; what it no longer names is forgotten.

    Agents repeat it while they live, also when all their devices rest.
    """
    require_own(principal, agent_id)
    told = [
        StationGiven(each.name, each.kind, each.identity, each.state, each.words) for each in given.stations
    ]
    with parts.database.write() as session:
        Agents(session).touch(agent_id)
        Stations(session).replace(agent_id, told)
    return Stored(stored=True)


@router.post("/{agent_id}/lease", response_model=LeaseGranted, responses={204: {"description": "no job"}})
async def lease(
    agent_id: AgentId,
    wish: LeaseWish,
    request: Request,
    parts: ServiceParts,
    turns: AgentTurns,
    principal: AgentPrincipal,
) -> Response:
    """Wait up to `wait_s` for a job of one of these idle devices."""
    require_own(principal, agent_id)
    deadline = time.monotonic() + wish.wait_s
    watch = request.app.state.work_watch
    assert isinstance(watch, WorkWatch)
    with watch.waiting(wish.device_ids) as woken:
        while True:
            woken.clear()
            granted = await turns.run(_try_lease, parts, agent_id, wish)
            if granted is not None:
                return Response(granted, media_type="application/json")
            if not await _woken_before(woken, deadline) or await request.is_disconnected():
                return Response(status_code=204)


def _try_lease(parts: Parts, agent_id: str, wish: LeaseWish) -> str | None:
    """Grant a job if there is one; give the answer as JSON, in which the plan, which is long, is passed on unread."""
    settings = parts.settings
    if parts.database.has_one_writer and not _is_worth_it(parts, agent_id, wish):
        return None
    if wish.held:  # first: the service or its agent may have slept beyond their end
        with parts.database.write() as session:
            held = [(each.job_id, each.token) for each in wish.held]
            Jobs(session).keep_alive(agent_id, held, settings.lease_seconds)
    with parts.database.write() as session:
        agents = Agents(session).touch(agent_id)
        grant = Jobs(session).lease(agent_id, wish.device_ids, settings.lease_seconds)
    if grant is None:
        return None
    granted = LeaseGranted(
        job_id=grant.id,
        device_id=grant.device_id,
        token=grant.token,
        expires_in_s=settings.lease_seconds,
        heartbeat_s=leases.heartbeat_s(settings.heartbeat_seconds, agents),
        plan={},
    )
    return f'{granted.model_dump_json(exclude={"plan"})[:-1]},"plan":{grant.plan}}}'


def _is_worth_it(parts: Parts, agent_id: str, wish: LeaseWish) -> bool:
    """Look before writing: most look in vain, and where one writes at a time those must not wait for each other."""
    with parts.database.read() as session:
        if Agents(session).needs_touch(agent_id):
            return True
        return bool(Jobs(session).devices_with_work(wish.device_ids, parts.settings.lease_seconds))


async def _woken_before(woken: asyncio.Event, deadline: float) -> bool:
    try:
        await asyncio.wait_for(woken.wait(), deadline - time.monotonic())
    except TimeoutError:
        return False
    return True
