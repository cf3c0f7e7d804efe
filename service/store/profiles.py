"""Profiles of devices and their entries: what is measured for them, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.errors import NotFound
from service.store.database import database_now
from service.store.identifiers import new_id
from service.store.rows import DeviceProfileRow, ProfileEntryRow

RUNNING, DONE, FAILED, CANCELLED = "running", "done", "failed", "cancelled"
OPEN = (RUNNING,)
WAITING = "waiting"
BANDWIDTH, MIXER, SHAPE = "bandwidth", "mixer", "shape"


@dataclass(frozen=True)
class EntryDraft:
    """One measurement to be; `effort` is how long it takes beside the others, in seconds of a usual laptop."""

    kind: str
    name: str
    copies: int
    candidate_digest: str | None
    conditions: Mapping[str, Any]
    effort: float


class Profiles:
    """Queries about profiles."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, profile_id: str) -> DeviceProfileRow:
        """Read one profile."""
        row = self.session.get(DeviceProfileRow, profile_id)
        if row is None:
            raise NotFound(f"there is no profile {profile_id!r}", field="id")
        return row

    def open(self) -> Sequence[DeviceProfileRow]:
        """List the profiles that still have work, oldest first."""
        query = select(DeviceProfileRow).where(DeviceProfileRow.state.in_(OPEN))
        return self.session.scalars(query.order_by(DeviceProfileRow.created_at)).all()

    def of_device(self, device_id: str) -> Sequence[DeviceProfileRow]:
        """List a device's profiles, newest first."""
        query = select(DeviceProfileRow).where(DeviceProfileRow.device_id == device_id)
        return self.session.scalars(query.order_by(DeviceProfileRow.created_at.desc())).all()

    def devices_with_one(self) -> set[str]:
        """Name the devices that have a profile."""
        return set(self.session.scalars(select(DeviceProfileRow.device_id).distinct()))

    def create(
        self, device_id: str, scope: Mapping[str, Any], fresh: bool, entries: Sequence[EntryDraft]
    ) -> DeviceProfileRow:
        """Store a profile and all that is to be measured for it, in its order."""
        row = DeviceProfileRow(
            id=new_id("profile"),
            device_id=device_id,
            scope=dict(scope),
            fresh=fresh,
            state=RUNNING,
            detail="",
            created_at=database_now(self.session),
        )
        self.session.add(row)
        self.session.flush()
        self.session.add_all(_entry(row.id, position, draft) for position, draft in enumerate(entries))
        self.session.flush()
        return row

    def entries(self, profile_id: str) -> Sequence[ProfileEntryRow]:
        """List a profile's entries in their order."""
        query = select(ProfileEntryRow).where(ProfileEntryRow.profile_id == profile_id)
        return self.session.scalars(query.order_by(ProfileEntryRow.position)).all()

    def entry(self, entry_id: str) -> ProfileEntryRow:
        """Read one entry."""
        return self.session.get_one(ProfileEntryRow, entry_id)

    def end(self, profile_id: str, state: str, detail: str = "") -> None:
        """Close a profile unless it has ended already."""
        row = self.get(profile_id)
        if row.state not in OPEN:
            return
        row.state = state
        row.detail = detail
        row.finished_at = database_now(self.session)

    def start_entry(self, entry_id: str, request_id: str | None, job_id: str | None) -> None:
        """Note what will answer an entry."""
        row = self.entry(entry_id)
        row.state = RUNNING
        row.request_id = request_id
        row.job_id = job_id
        row.started_at = database_now(self.session)

    def end_entry(
        self,
        entry_id: str,
        outcome: str,
        detail: str,
        measurement_id: str | None,
        observations: Mapping[str, Any] | None = None,
    ) -> None:
        """Close an entry with what became of it."""
        row = self.entry(entry_id)
        row.observations = dict(observations or {})
        row.state = DONE if outcome in MEASURED_KINDS else FAILED
        row.outcome = outcome
        row.detail = detail
        row.measurement_id = measurement_id
        row.finished_at = database_now(self.session)


MEASURED_KINDS = frozenset({"measured", "bandwidth_measured"})


def _entry(profile_id: str, position: int, draft: EntryDraft) -> ProfileEntryRow:
    return ProfileEntryRow(
        id=new_id("entry"),
        profile_id=profile_id,
        position=position,
        kind=draft.kind,
        name=draft.name,
        copies=draft.copies,
        candidate_digest=draft.candidate_digest,
        conditions=dict(draft.conditions),
        effort=draft.effort,
        observations={},
        state=WAITING,
        outcome="",
        detail="",
        reused=False,
    )
