"""Devices that agents know: list them, pause and resume them, label them."""

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy.orm import Session

from service.api.dependencies import ServiceParts
from service.api.schemas import DeviceOut, LabelsGiven, PauseGiven, StationOut
from service.device_state import is_online, state_of_device, state_of_station
from service.parts import Parts
from service.store.agents import Agents, Devices
from service.store.database import database_now
from service.store.jobs import PAUSED, Jobs
from service.store.measurements import Measurements
from service.store.rows import DeviceRow
from service.store.stations import Stations

router = APIRouter(prefix="/devices", tags=["devices"])
DeviceKey = Annotated[str, Path(max_length=100, description="a device's id or name")]


@router.get("")
def list_devices(parts: ServiceParts) -> list[DeviceOut]:
    """List every registered device by name."""
    with parts.database.read() as session:
        return [_shown(session, row) for row in Devices(session).all()]


@router.get("/unregistered")
def list_unregistered(parts: ServiceParts) -> list[StationOut]:
    """List what agents know and can't open, so that it never was registered, each with the reason."""
    with parts.database.read() as session:
        known = {row.identity for row in Devices(session).all()}
        agents, now = {row.id: row for row in Agents(session).all()}, database_now(session)
        rows = [row for row in Stations(session).all() if row.identity not in known]
        states = [state_of_station(row, agents[row.agent_id], now) for row in rows]
        return [
            StationOut(name=row.name, kind=row.kind, agent=agents[row.agent_id].name, **vars(state))
            for row, state in zip(rows, states, strict=True)
        ]


@router.post("/{device_id}/pause")
def pause(device_id: DeviceKey, given: PauseGiven, parts: ServiceParts) -> DeviceOut:
    """Measure nothing more on a device; what is under way goes back on its list and ends within seconds."""
    with parts.database.write() as session:
        row = Devices(session).named(device_id)
        Devices(session).pause(row.id, given.reason)
        why = f": {given.reason}" if given.reason else ""
        Jobs(session).take_back(row.id, PAUSED, f"the device was paused{why}")
    return _read(parts, row.id)


@router.post("/{device_id}/resume")
def resume(device_id: DeviceKey, parts: ServiceParts) -> DeviceOut:
    """Let a paused device be measured again."""
    with parts.database.write() as session:
        row = Devices(session).named(device_id)
        Devices(session).resume(row.id)
    return _read(parts, row.id)


@router.patch("/{device_id}")
def change(device_id: DeviceKey, given: LabelsGiven, parts: ServiceParts) -> DeviceOut:
    """Set labels over those that the device's agent gives it."""
    with parts.database.write() as session:
        row = Devices(session).named(device_id)
        Devices(session).change_labels(row.id, given.labels)
    return _read(parts, row.id)


def _read(parts: Parts, device_id: str) -> DeviceOut:
    parts.bell.ring()
    with parts.database.read() as session:
        return _shown(session, Devices(session).get(device_id))


def _shown(session: Session, row: DeviceRow) -> DeviceOut:
    agent, state = Agents(session).get(row.agent_id), state_of_device(session, row)
    return DeviceOut(
        id=row.id,
        name=row.name,
        kind=row.kind,
        labels=row.labels,
        facts=row.facts,
        agent=agent.name,
        last_seen_at=agent.last_seen_at,
        online=is_online(agent, database_now(session)),
        state=state.state,
        reason=state.reason,
        hint=state.hint,
        last_measured_at=Measurements(session).newest_on(row.id),
        examined_at=row.examined_at,
        examination=row.examination,
        log_job_id=row.quarantine_job_id,
    )
