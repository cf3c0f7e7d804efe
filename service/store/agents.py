"""Agents and the devices they can reach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.errors import NotFound
from service.store.database import database_now
from service.store.identifiers import new_id
from service.store.rows import AgentRow, DeviceRow


@dataclass(frozen=True)
class DeviceRegistration:
    """What an agent says of a device when it registers."""

    identity: str
    name: str
    kind: str
    labels: Mapping[str, Any]
    facts: Mapping[str, Any]


class Agents:
    """Queries about agents."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, agent_id: str) -> AgentRow:
        """Read one agent."""
        row = self.session.get(AgentRow, agent_id)
        if row is None:
            raise NotFound(
                f"there is no agent {agent_id!r}",
                field="agent_id",
                hint="register first",
                code="unknown-agent",
            )
        return row

    def register(self, identity: str, name: str) -> AgentRow:
        """Create or refresh the agent of this identity."""
        now = database_now(self.session)
        row = self.session.scalar(select(AgentRow).where(AgentRow.identity == identity))
        if row is None:
            row = AgentRow(id=new_id("agent"), identity=identity, created_at=now)
            self.session.add(row)
        row.name = name
        row.last_seen_at = now
        self.session.flush()
        return row

    def touch(self, agent_id: str) -> None:
        """Note that the agent was heard of."""
        self.get(agent_id).last_seen_at = database_now(self.session)

    def all(self) -> Sequence[AgentRow]:
        """List every agent, oldest first."""
        return self.session.scalars(select(AgentRow).order_by(AgentRow.created_at)).all()


class Devices:
    """Queries about devices."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def all(self) -> Sequence[DeviceRow]:
        """List every device by name."""
        return self.session.scalars(select(DeviceRow).order_by(DeviceRow.name)).all()

    def get(self, device_id: str) -> DeviceRow:
        """Read one device."""
        row = self.session.get(DeviceRow, device_id)
        if row is None:
            raise NotFound(
                f"there is no device {device_id!r}", field="device_id", hint="see `loopfront device list`"
            )
        return row

    def by_name(self, name: str) -> DeviceRow | None:
        """Find a device by its name or id."""
        where = (DeviceRow.name == name) | (DeviceRow.id == name)
        return self.session.scalar(select(DeviceRow).where(where))

    def local(self) -> DeviceRow | None:
        """Find the device that is the service's own machine: the local one heard of last."""
        query = select(DeviceRow).where(DeviceRow.kind == "local").order_by(DeviceRow.last_seen_at.desc())
        return self.session.scalar(query.limit(1))

    def with_labels(self, labels: Mapping[str, str]) -> DeviceRow | None:
        """Find the first device, by name, that carries all of `labels`."""
        carries = (row for row in self.all() if labels.items() <= row.labels.items())
        return next(carries, None)

    def register(self, agent_id: str, given: DeviceRegistration) -> DeviceRow:
        """Create or refresh a device; a name that another device holds gets a number."""
        now = database_now(self.session)
        row = self.session.scalar(select(DeviceRow).where(DeviceRow.identity == given.identity))
        if row is None:
            row = DeviceRow(id=new_id("device"), identity=given.identity, created_at=now)
            row.name = self._free_name(given.name)
            self.session.add(row)
        row.agent_id = agent_id
        row.kind = given.kind
        row.labels = dict(given.labels)
        row.facts = dict(given.facts)
        row.last_seen_at = now
        self.session.flush()
        return row

    def _free_name(self, wanted: str) -> str:
        name, number = wanted, 2
        while self.by_name(name) is not None:
            name, number = f"{wanted}-{number}", number + 1
        return name
