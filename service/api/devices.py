"""Devices that agents know: list and read them, pause, resume and quarantine them, label them."""

from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy.orm import Session

from devices.summary import sentinel_levels_ms
from service.api.authorisation import AuditedRoute, manages_devices, reads
from service.api.dependencies import ServiceParts
from service.api.schemas import (
    DeviceOut,
    LabelsGiven,
    PauseGiven,
    QuarantineGiven,
    SentinelOut,
    StationOut,
)
from service.device_state import DeviceState, is_online, state_of_station, states_of_devices
from service.parts import Parts
from service.store.agents import Agents, Devices
from service.store.database import database_now
from service.store.jobs import PAUSED, Jobs
from service.store.measurements import Calibrations, Measurements
from service.store.rows import AgentRow, DeviceRow
from service.store.stations import Stations

router = APIRouter(prefix="/devices", tags=["devices"], dependencies=[reads], route_class=AuditedRoute)
DeviceKey = Annotated[str, Path(max_length=100, description="a device's id or name")]


@router.get("")
def list_devices(parts: ServiceParts) -> list[DeviceOut]:
    """List every registered device by name."""
    with parts.database.read() as session:
        return _all_shown(session, Devices(session).all())


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


@router.get("/{device_id}")
def read_device(device_id: DeviceKey, parts: ServiceParts) -> DeviceOut:
    """Read one device."""
    with parts.database.read() as session:
        return _shown(session, Devices(session).named(device_id))


@router.get("/{device_id}/sentinels")
def sentinels(
    device_id: DeviceKey, parts: ServiceParts, newest: Annotated[int, Query(ge=1, le=1000)] = 200
) -> list[SentinelOut]:
    """List how fast the sentinel ran on a device in its newest measurements, the newest first, and its calibrations."""
    with parts.database.read() as session:
        row = Devices(session).named(device_id)
        rows = Measurements(session).newest_measured(row.id, newest)
        calibrations = Calibrations(session).by_measurement([each.id for each in rows])
        levels = [(each, parts.measured.read(session, each.id)) for each in rows]
    return [
        SentinelOut(
            measurement_id=each.id,
            measured_at=each.created_at,
            prefill_ms=median(sentinel_levels_ms(measured.prefill)),
            decode_ms=median(sentinel_levels_ms(measured.decode)),
            calibration_id=calibrations.get(each.id),
        )
        for each, measured in levels
        if measured is not None
    ]


@router.post("/{device_id}/quarantine", dependencies=[manages_devices])
def quarantine(device_id: DeviceKey, given: QuarantineGiven, parts: ServiceParts) -> DeviceOut:
    """Trust nothing of a device until `loopfront agent doctor` on its lab host has passed it."""
    with parts.database.write() as session:
        row = Devices(session).named(device_id)
        Devices(session).quarantine(Devices(session).locked(row.id), given.reason)
        Jobs(session).take_back(row.id, PAUSED, f"the device was quarantined: {given.reason}")
    return _read(parts, row.id)


@router.post("/{device_id}/pause", dependencies=[manages_devices])
def pause(device_id: DeviceKey, given: PauseGiven, parts: ServiceParts) -> DeviceOut:
    """Measure nothing more on a device; what is under way goes back on its list and ends within seconds."""
    with parts.database.write() as session:
        row = Devices(session).named(device_id)
        Devices(session).pause(row.id, given.reason)
        why = f": {given.reason}" if given.reason else ""
        Jobs(session).take_back(row.id, PAUSED, f"the device was paused{why}")
    return _read(parts, row.id)


@router.post("/{device_id}/resume", dependencies=[manages_devices])
def resume(device_id: DeviceKey, parts: ServiceParts) -> DeviceOut:
    """Let a paused device be measured again."""
    with parts.database.write() as session:
        row = Devices(session).named(device_id)
        Devices(session).resume(row.id)
    return _read(parts, row.id)


@router.patch("/{device_id}", dependencies=[manages_devices])
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
    return _all_shown(session, [row])[0]


def _all_shown(session: Session, rows: Sequence[DeviceRow]) -> list[DeviceOut]:
    now, states = database_now(session), states_of_devices(session, rows)
    agents = {each.id: each for each in Agents(session).all()}
    newest = Measurements(session).newest_on([row.id for row in rows])
    return [_out(row, agents[row.agent_id], states[row.id], newest.get(row.id), now) for row in rows]


def _out(
    row: DeviceRow, agent: AgentRow, state: DeviceState, last_measured_at: datetime | None, now: datetime
) -> DeviceOut:
    return DeviceOut(
        id=row.id,
        name=row.name,
        kind=row.kind,
        labels=row.labels,
        facts=row.facts,
        agent=agent.name,
        last_seen_at=agent.last_seen_at,
        online=is_online(agent, now),
        state=state.state,
        reason=state.reason,
        hint=state.hint,
        last_measured_at=last_measured_at,
        examined_at=row.examined_at,
        examination=row.examination,
        log_job_id=row.quarantine_job_id,
    )
