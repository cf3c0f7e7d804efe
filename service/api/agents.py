"""Agents: register, and wait for the next job of an idle device."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.api.dependencies import PROTOCOL, ServiceParts, require_agent
from service.api.schemas import (
    AgentRegistered,
    AgentRegistration,
    DeviceKnown,
    LeaseGranted,
    LeaseWish,
    StationsGiven,
    Stored,
    VersionOut,
)
from service.parts import Parts
from service.store.agents import Agents, DeviceRegistration, Devices
from service.store.jobs import Jobs
from service.store.stations import StationGiven, Stations
from service.version import VERSION

router = APIRouter(prefix="/agents", tags=["agents"], dependencies=[Depends(require_agent)])
AgentId = Annotated[str, Path(max_length=100)]

POLL_S = 0.2
LOOK_AGAIN_S = 2.0
"""Look at the table this often even if no bell was rung: leases expire and back-offs end silently."""


@router.get("/hello")
def hello() -> VersionOut:
    """Answer an agent that is welcome: it speaks the protocol and shows the token."""
    return VersionOut(version=VERSION, protocol=PROTOCOL)


@router.post("")
def register(given: AgentRegistration, parts: ServiceParts) -> AgentRegistered:
    """Register an agent and the devices it can reach; safe to repeat."""
    with parts.database.write() as session:
        agent = Agents(session).register(given.identity, given.name)
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


@router.put("/{agent_id}/stations")
def tell_stations(agent_id: AgentId, given: StationsGiven, parts: ServiceParts) -> Stored:
    """Say how an agent stands to every device it knows; what it no longer names is forgotten.

    Agents repeat it while they live, also when all their devices rest.
    """
    told = [
        StationGiven(each.name, each.kind, each.identity, each.state, each.words) for each in given.stations
    ]
    with parts.database.write() as session:
        Agents(session).touch(agent_id)
        Stations(session).replace(agent_id, told)
    return Stored(stored=True)


@router.post("/{agent_id}/lease", response_model=LeaseGranted, responses={204: {"description": "no job"}})
async def lease(
    agent_id: AgentId, wish: LeaseWish, request: Request, parts: ServiceParts
) -> LeaseGranted | Response:
    """Wait up to `wait_s` for a job of one of these idle devices."""
    deadline = time.monotonic() + wish.wait_s
    while True:
        seen = parts.bell.rings
        granted = await run_in_threadpool(_try_lease, parts, agent_id, wish)
        if granted is not None:
            return granted
        await _until_worth_looking(parts, seen, deadline)
        if time.monotonic() >= deadline or await request.is_disconnected():
            return Response(status_code=204)


def _try_lease(parts: Parts, agent_id: str, wish: LeaseWish) -> LeaseGranted | None:
    settings = parts.settings
    with parts.database.write() as session:
        Agents(session).touch(agent_id)
        for each in wish.held:  # first: the service or its agent may have slept beyond their end
            Jobs(session).keep_alive(each.job_id, each.token, settings.lease_seconds)
        job = Jobs(session).lease(agent_id, wish.device_ids, settings.lease_seconds)
    if job is None:
        return None
    return LeaseGranted(
        job_id=job.id,
        device_id=job.device_id,
        token=job.token,
        expires_in_s=settings.lease_seconds,
        heartbeat_s=settings.heartbeat_seconds,
        plan=job.plan,
    )


async def _until_worth_looking(parts: Parts, seen: int, deadline: float) -> None:
    look_again = min(deadline, time.monotonic() + LOOK_AGAIN_S)
    while parts.bell.rings == seen and time.monotonic() < look_again:
        await asyncio.sleep(POLL_S)
