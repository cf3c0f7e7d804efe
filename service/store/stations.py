"""How agents stand to their devices, those that never registered included."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.store.agents import Devices
from service.store.database import database_now
from service.store.rows import AgentRow, DeviceRow, StationRow

READY, RESTING, UNOPENED, KEY_CHANGED = "ready", "resting", "unopened", "key_changed"
STATES = (READY, RESTING, UNOPENED, KEY_CHANGED)


@dataclass(frozen=True)
class StationGiven:
    """What an agent says of one of its devices; `identity` is None while it can't be told."""

    name: str
    kind: str
    identity: str | None
    state: str
    words: str


class Stations:
    """Queries about stations."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def all(self) -> Sequence[StationRow]:
        """List every station by name."""
        return self.session.scalars(select(StationRow).order_by(StationRow.name)).all()

    def of_devices(self, devices: Sequence[DeviceRow]) -> dict[tuple[str, str], StationRow]:
        """Find how agents stand to these devices, by agent and identity."""
        query = select(StationRow).where(StationRow.identity.in_({device.identity for device in devices}))
        return {(row.agent_id, str(row.identity)): row for row in self.session.scalars(query)}

    def unopened_named(self, name: str) -> StationRow | None:
        """Find a station of this name that can't be opened."""
        query = select(StationRow).where(
            StationRow.name == name, StationRow.state.in_((UNOPENED, KEY_CHANGED))
        )
        return self.session.scalars(query.limit(1)).first()

    def replace(self, agent_id: str, given: Sequence[StationGiven]) -> None:
        """Store all that an agent knows; what it no longer names is forgotten."""
        known = self._of_agent(agent_id)
        told = {each.name: each for each in given}
        for name, row in known.items():
            if name not in told:
                self.session.delete(row)
        for name, each in told.items():
            self._store(agent_id, known.get(name), each)

    def device_of(self, agent_identity: str, name: str) -> DeviceRow | None:
        """Find the device behind an agent's station by the identity that it had when it was last open."""
        query = (
            select(StationRow.identity)
            .join(AgentRow, AgentRow.id == StationRow.agent_id)
            .where(AgentRow.identity == agent_identity, StationRow.name == name)
        )
        identity = self.session.scalar(query)
        return Devices(self.session).with_identity(identity) if identity else None

    def _store(self, agent_id: str, row: StationRow | None, given: StationGiven) -> None:
        now = database_now(self.session)
        before = row.state if row is not None else ""
        if row is None:
            row = StationRow(agent_id=agent_id, name=given.name, identity=None)
        row.kind, row.state, row.words = given.kind, given.state, given.words
        row.identity = given.identity or row.identity
        row.told_at = now
        self.session.add(row)
        self.session.flush()
        if given.state == KEY_CHANGED and before != KEY_CHANGED and row.identity:
            self._quarantine(row.identity, given.words)

    def _quarantine(self, identity: str, words: str) -> None:
        """What answers there may be another machine: nothing of it counts until someone has looked."""
        device = Devices(self.session).with_identity(identity)
        if device is not None:
            Devices(self.session).quarantine(Devices(self.session).locked(device.id), words)

    def _of_agent(self, agent_id: str) -> dict[str, StationRow]:
        query = select(StationRow).where(StationRow.agent_id == agent_id)
        return {row.name: row for row in self.session.scalars(query)}
