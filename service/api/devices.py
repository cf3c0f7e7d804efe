"""Devices that agents registered."""

from datetime import datetime, timedelta

from fastapi import APIRouter

from service.api.dependencies import ServiceParts
from service.api.schemas import DeviceOut
from service.store.agents import Agents, Devices
from service.store.database import database_now
from service.store.rows import AgentRow, DeviceRow

router = APIRouter(prefix="/devices", tags=["devices"])

ONLINE_WITHIN = timedelta(seconds=45)
"""An idle agent asks for a job at least every 20 s, a busy one sends heartbeats."""


@router.get("")
def list_devices(parts: ServiceParts) -> list[DeviceOut]:
    """List every device by name."""
    with parts.database.read() as session:
        now = database_now(session)
        agents = {row.id: row for row in Agents(session).all()}
        return [_shown(row, agents[row.agent_id], now) for row in Devices(session).all()]


def _shown(row: DeviceRow, agent: AgentRow, now: datetime) -> DeviceOut:
    return DeviceOut(
        id=row.id,
        name=row.name,
        kind=row.kind,
        labels=row.labels,
        facts=row.facts,
        agent=agent.name,
        last_seen_at=agent.last_seen_at,
        online=now - agent.last_seen_at < ONLINE_WITHIN,
    )
