"""Agents and the devices they can reach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, bindparam, func, select, update
from sqlalchemy.orm import Session

from service import leases
from service.errors import NotFound
from service.store.database import database_now
from service.store.events import DEVICE, Events
from service.store.identifiers import new_id
from service.store.lease_statements import LockedDevice
from service.store.rows import AgentRow, DeviceRow

LOCAL = "local"
"""What the service's own machine is called wherever a device is named, whatever its own name."""

TOUCHED_EVERY = timedelta(seconds=10)
"""An agent that is heard of more often is not written down each time."""


_AGENTS = cast(Table, AgentRow.__table__)
_others = _AGENTS.alias("others")
_HEARD_OF = select(
    _AGENTS.c.last_seen_at,
    select(func.count())
    .where(_others.c.last_seen_at > bindparam("gone_at"))
    .scalar_subquery()
    .label("agents"),
).where(_AGENTS.c.id == bindparam("of_agent"))
_NOTE_HEARD_OF = (
    update(_AGENTS)
    .where(
        # Its other devices' requests need not wait where one is just noting the same.
        _AGENTS.c.id.in_(
            select(_AGENTS.c.id)
            .where(_AGENTS.c.id == bindparam("of_agent"))
            .with_for_update(skip_locked=True)
        )
    )
    .values(last_seen_at=bindparam("now"))
)


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
            raise _no_agent(agent_id)
        return row

    def register(self, identity: str, name: str) -> AgentRow:
        """Create or refresh the agent of this identity."""
        now = database_now(self.session)
        row = self.with_identity(identity)
        if row is None:
            row = AgentRow(id=new_id("agent"), identity=identity, created_at=now)
            self.session.add(row)
        row.name = name
        row.last_seen_at = now
        self.session.flush()
        return row

    def with_identity(self, identity: str) -> AgentRow | None:
        """Find the agent of an identity."""
        return self.session.scalar(select(AgentRow).where(AgentRow.identity == identity))

    def touch(self, agent_id: str) -> int:
        """Note that the agent was heard of, unless that is noted already; return how many agents were lately."""
        now = database_now(self.session)
        last_seen_at, agents = self._heard_of(agent_id, now)
        if _is_worth_noting(last_seen_at, now):
            self.session.execute(_NOTE_HEARD_OF, {"of_agent": agent_id, "now": now})
        return agents

    def needs_touch(self, agent_id: str) -> bool:
        """Tell whether it is worth writing down that the agent was heard of."""
        now = database_now(self.session)
        return _is_worth_noting(self._heard_of(agent_id, now)[0], now)

    def _heard_of(self, agent_id: str, now: datetime) -> tuple[datetime, int]:
        asked = {"of_agent": agent_id, "gone_at": now - leases.AGENT_GONE_AFTER}
        row = self.session.execute(_HEARD_OF, asked).first()
        if row is None:
            raise _no_agent(agent_id)
        return row.last_seen_at, row.agents

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
        """Find a device by its name or id; `local` is the service's own machine."""
        where = (DeviceRow.name == name) | (DeviceRow.id == name)
        return self.session.scalar(select(DeviceRow).where(where)) or (
            self.local() if name == LOCAL else None
        )

    def local(self) -> DeviceRow | None:
        """Find the device that is the service's own machine: the local one heard of last."""
        query = select(DeviceRow).where(DeviceRow.kind == "local").order_by(DeviceRow.last_seen_at.desc())
        return self.session.scalar(query.limit(1))

    def with_labels(self, labels: Mapping[str, str]) -> DeviceRow | None:
        """Find the first device, by name, that carries all of `labels`; one that may be measured goes before."""
        carries = [row for row in self.all() if labels.items() <= row.labels.items()]
        usable = (row for row in carries if row.paused_at is None and row.quarantined_at is None)
        return next(usable, carries[0] if carries else None)

    def named(self, name: str) -> DeviceRow:
        """Read the device of a name or id."""
        row = self.by_name(name)
        if row is None:
            known = ", ".join(each.name for each in self.all()[:20])
            raise NotFound(
                f"there is no device {name!r}",
                field="device",
                hint=f"known are {known}" if known else "none is registered",
            )
        return row

    def with_identity(self, identity: str) -> DeviceRow | None:
        """Find the device of an identity."""
        return self.session.scalar(select(DeviceRow).where(DeviceRow.identity == identity))

    def locked(self, device_id: str) -> DeviceRow:
        """Read one device, and keep others from changing it until the transaction ends.

        Who locks a device and its jobs locks the device first: two that begin at different ends would wait for ever.
        """
        query = select(DeviceRow).where(DeviceRow.id == device_id).with_for_update()
        return self.session.scalars(query.execution_options(populate_existing=True)).one()

    def pause(self, device_id: str, reason: str) -> None:
        """Give out no more jobs for a device; pausing again changes only the reason."""
        row = self.locked(device_id)
        row.paused_at = row.paused_at or database_now(self.session)
        row.pause_reason = reason
        self._tell(row, "paused", reason)

    def resume(self, device_id: str) -> None:
        """Let a paused device be measured again."""
        row = self.locked(device_id)
        row.paused_at, row.pause_reason = None, ""
        self._tell(row, "resumed")

    def change_labels(self, device_id: str, changes: Mapping[str, str | None]) -> None:
        """Set labels over those of the agent; None takes one away."""
        row = self.locked(device_id)
        row.label_changes = {**row.label_changes, **changes}
        row.labels = _merged(row.agent_labels, row.label_changes)

    def count_outcome(self, device: LockedDevice, kind: str, reason: str, job_id: str) -> bool:
        """Note what became of a job on a device; quarantine it after too many faults and say so."""
        fault_run = leases.faults_in_a_row(kind, device.fault_run)
        if fault_run == device.fault_run == 0:  # as nearly always
            return False
        row = self.locked(device.id)
        row.fault_run = fault_run
        if row.fault_run >= leases.LARGEST_RUN_OF_FAULTS:
            self.quarantine(row, f"{row.fault_run} faults in a row, the last: {kind}: {reason}", job_id)
            return True
        return False

    def quarantine(self, row: DeviceRow, reason: str, job_id: str | None = None) -> None:
        """Give out no more jobs for a device until an examination has passed."""
        row.quarantined_at = row.quarantined_at or database_now(self.session)
        row.quarantine_reason, row.quarantine_job_id = reason, job_id
        self._tell(row, "quarantined", reason)

    def _tell(self, row: DeviceRow, change: str, reason: str = "") -> None:
        """Tell those who watch what changed of a device."""
        Events(self.session).add(DEVICE, None, device=row.name, change=change, reason=reason)

    def note_examination(self, row: DeviceRow, has_passed: bool, words: str) -> bool:
        """Note what an examination found; one that passed ends a quarantine. Tell whether it did."""
        row.examined_at = database_now(self.session)
        row.examination = "passed" if has_passed else f"failed: {words}"
        was_quarantined = row.quarantined_at is not None
        if has_passed:
            row.quarantined_at, row.quarantine_reason, row.quarantine_job_id = None, "", None
            row.fault_run = 0
        if has_passed and was_quarantined:
            self._tell(row, "freed", words)
        return has_passed and was_quarantined

    def register(self, agent_id: str, given: DeviceRegistration) -> DeviceRow:
        """Create or refresh a device; a name that another device holds gets a number."""
        now = database_now(self.session)
        row = self.session.scalar(select(DeviceRow).where(DeviceRow.identity == given.identity))
        is_new = row is None
        if row is None:
            row = _new_device(given.identity, now)
            row.name = self._free_name(given.name)
            self.session.add(row)
        row.agent_id = agent_id
        row.kind = given.kind
        row.agent_labels = dict(given.labels)
        row.labels = _merged(row.agent_labels, row.label_changes)
        row.facts = dict(given.facts)
        row.last_seen_at = now
        self.session.flush()
        if is_new:
            self._tell(row, "registered")
        return row

    def _free_name(self, wanted: str) -> str:
        name, number = wanted, 2
        while name == LOCAL or self.by_name(name) is not None:
            name, number = f"{wanted}-{number}", number + 1
        return name


def _is_worth_noting(last_seen_at: datetime, now: datetime) -> bool:
    return not timedelta(0) <= now - last_seen_at < TOUCHED_EVERY


def _no_agent(agent_id: str) -> NotFound:
    return NotFound(
        f"there is no agent {agent_id!r}", field="agent_id", hint="register first", code="unknown-agent"
    )


def _new_device(identity: str, now: datetime) -> DeviceRow:
    return DeviceRow(
        id=new_id("device"),
        identity=identity,
        created_at=now,
        label_changes={},
        pause_reason="",
        fault_run=0,
        quarantine_reason="",
        examination="",
    )


def _merged(labels: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**labels, **changes}.items() if value is not None}
