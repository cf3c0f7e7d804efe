"""The statements of leases and results, built once: a fleet asks for them all day, and building them took longest."""

from datetime import datetime
from typing import Any, NamedTuple
from typing import cast as typed

from sqlalchemy import (
    BindParameter,
    Insert,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from service.leases import CANCELLED, DONE, LEASED, WAITING
from service.store.events import ADD_EVENT
from service.store.job_waiters import IS_ABANDONED
from service.store.rows import AttemptRow, DeviceRow, DeviceShareRow, JobRow, MeasurementRow, Row, StudyRow
from service.store.writes import Writes

SINGLE = "single"
"""Measurements outside of studies share a device as if they were one study."""

ADVANCE_S = 30.0
"""What a job under lease counts for beside what it took so far: else one study would get every free place at once."""


class LockedDevice(NamedTuple):
    """What leases need of a device; no other process changes it until the transaction ends."""

    id: str
    name: str
    agent_id: str
    metered_at: datetime | None
    fault_run: int


class LockedJob(NamedTuple):
    """What leases need of a job, without its plan, which is long; it is locked as its device is."""

    id: str
    device_id: str
    study_id: str | None
    purpose: str
    cache_key: str
    bypasses_cache: bool
    state: str
    token: int
    agent_id: str | None
    lease_expires_at: datetime | None


class Grant(NamedTuple):
    """A job under a new token; `plan` is JSON as text, which nobody but the agent reads."""

    id: str
    device_id: str
    study_id: str | None
    token: int
    plan: str


class Asked(NamedTuple):
    """Whom a token was granted to, None where it never was, and what of the job's plan its result must answer."""

    granted_to: str | None
    kind: str | None
    workload: dict[str, Any] | None


class Standing(NamedTuple):
    """How a job stands, and the attempt that was granted under one of its tokens, None where that never was."""

    state: str
    token: int
    lease_expires_at: datetime | None
    agent_id: str | None
    granted_to: str | None
    ended_by: str | None
    reason: str | None


def _table(kind: type[Row]) -> Table:
    return typed(Table, kind.__table__)


_ATTEMPTS, _DEVICES, _JOBS = _table(AttemptRow), _table(DeviceRow), _table(JobRow)
_MEASUREMENTS, _SHARES, _STUDIES = _table(MeasurementRow), _table(DeviceShareRow), _table(StudyRow)
_DEVICE_ID: BindParameter[str] = bindparam("of_device")
_JOB_ID: BindParameter[str] = bindparam("of_job")


def _add_share(insert_share: sqlite.Insert | postgresql.Insert) -> Insert:
    seconds: dict[str, BindParameter[float]] = {
        name: bindparam("seconds") for name in ("used_seconds", "virtual_seconds")
    }
    row = insert_share.values(device_id=_DEVICE_ID, sharer=bindparam("for_sharer"), **seconds)
    added = {name: _SHARES.c[name] + row.excluded[name] for name in seconds}
    return row.on_conflict_do_update(index_elements=["device_id", "sharer"], set_=added)


_DEVICE = select(*(_DEVICES.c[each] for each in LockedDevice._fields))
_JOB = select(*(_JOBS.c[each] for each in LockedJob._fields))

LOCK_DEVICE = _DEVICE.where(_DEVICES.c.id == _DEVICE_ID).with_for_update()
LOCK_DEVICE_OF_JOB = _DEVICE.where(
    _DEVICES.c.id == select(_JOBS.c.device_id).where(_JOBS.c.id == _JOB_ID).scalar_subquery()
).with_for_update()
LOCK_IDLE_DEVICE = _DEVICE.where(
    _DEVICES.c.id == _DEVICE_ID,
    _DEVICES.c.agent_id == bindparam("of_agent"),
    _DEVICES.c.paused_at.is_(None),
    _DEVICES.c.quarantined_at.is_(None),
).with_for_update(skip_locked=True)
LOCK_JOB = _JOB.where(_JOBS.c.id == _JOB_ID).with_for_update()
LOCK_LEASED_JOBS = (
    # By id, as everyone who locks several jobs does: two that begin at different ends would wait for ever.
    _JOB.where(_JOBS.c.device_id == _DEVICE_ID, _JOBS.c.state == LEASED)
    .order_by(_JOBS.c.id)
    .with_for_update()
)

_NOTE_METERED = update(_DEVICES).where(_DEVICES.c.id == _DEVICE_ID).values(metered_at=bindparam("at_time"))
_ADD_DEVICE_SECONDS = (
    update(_ATTEMPTS)
    .where(_ATTEMPTS.c.job_id == _JOB_ID, _ATTEMPTS.c.token == bindparam("of_token"))
    .values(device_seconds=_ATTEMPTS.c.device_seconds + bindparam("seconds"))
)

COUNT_TIME = Writes(
    _ADD_DEVICE_SECONDS,
    _NOTE_METERED,
    sqlite=_add_share(sqlite.insert(_SHARES)),
    postgresql=_add_share(postgresql.insert(_SHARES)),
)
"""Count `seconds` of a device for a job, its study and the time up to which that is done."""

IS_DUE = or_(_JOBS.c.not_before <= bindparam("now"), _JOBS.c.not_before > bindparam("latest_start"))
"""A time that lies behind the latest start was written before the clock was set back."""
_SHARER = func.coalesce(_JOBS.c.study_id, SINGLE)
_PRIORITY_OF_STUDY = func.coalesce(
    select(_STUDIES.c.priority).where(_STUDIES.c.id == _JOBS.c.study_id).correlate(_JOBS).scalar_subquery(), 0
)
_TAKEN_S = func.coalesce(
    select(_SHARES.c.virtual_seconds)
    .where(_SHARES.c.device_id == _DEVICE_ID, _SHARES.c.sharer == _SHARER)
    .correlate(_JOBS)
    .scalar_subquery(),
    0.0,
)
_under_way = _JOBS.alias("under_way")
_UNDER_WAY = (
    select(func.count())
    .where(
        _under_way.c.device_id == _DEVICE_ID,
        _under_way.c.state == LEASED,
        func.coalesce(_under_way.c.study_id, SINGLE) == _SHARER,
    )
    .correlate(_JOBS)
    .scalar_subquery()
)
NEXT_JOB = (
    select(
        _JOBS.c.id,
        _JOBS.c.study_id,
        _JOBS.c.purpose,
        _JOBS.c.token,
        IS_ABANDONED.label("is_abandoned"),
    )
    .where(_JOBS.c.device_id == _DEVICE_ID, _JOBS.c.state == WAITING, IS_DUE)
    .order_by(
        _JOBS.c.priority.desc(),
        _PRIORITY_OF_STUDY.desc(),
        _TAKEN_S + ADVANCE_S * _UNDER_WAY,  # whose study had the least of the device goes next
        _JOBS.c.created_at,
        _JOBS.c.id,
    )
    .limit(1)
    .with_for_update(of=_JOBS, skip_locked=True)
)
"""The job of a device that is next, and whether nobody waits for it any more."""

_GRANT = (
    update(_JOBS)
    .where(_JOBS.c.id == _JOB_ID)
    .values(
        state=LEASED,
        token=bindparam("new_token"),
        agent_id=bindparam("to_agent"),
        lease_expires_at=bindparam("until"),
    )
    .returning(cast(_JOBS.c.plan, Text))
)
_ADD_ATTEMPT = insert(_ATTEMPTS).values(
    id=bindparam("attempt"),
    job_id=_JOB_ID,
    token=bindparam("new_token"),
    agent_id=bindparam("to_agent"),
    granted_at=bindparam("at_time"),
    ended_by="",
    outcome="",
    reason="",
    log="",
    device_seconds=0.0,
)
_END_ATTEMPT = (
    update(_ATTEMPTS)
    .where(_ATTEMPTS.c.job_id == _JOB_ID, _ATTEMPTS.c.token == bindparam("of_token"))
    .values(
        ended_at=bindparam("at_time"),
        **{name: bindparam(f"new_{name}") for name in ("ended_by", "outcome", "reason", "log")},
    )
)
GRANT = Writes(_GRANT, _NOTE_METERED, _ADD_ATTEMPT, ADD_EVENT)
"""Lease a job, with its attempt and the event that tells of it; gives the job's plan as JSON text."""
END_ATTEMPT = Writes(_END_ATTEMPT, ADD_EVENT)
PUT_BACK = (
    update(_JOBS)
    .where(_JOBS.c.id == _JOB_ID, _JOBS.c.state != CANCELLED)
    .values(state=WAITING, lease_expires_at=null(), not_before=bindparam("until"))
)
NOTE_DETAIL = update(_JOBS).where(_JOBS.c.id == _JOB_ID).values(detail=bindparam("words"))
EXTEND = update(_JOBS).where(_JOBS.c.id == _JOB_ID).values(lease_expires_at=bindparam("until"))
EXTEND_IF_HELD = EXTEND.where(
    _JOBS.c.agent_id == bindparam("by_agent"), _JOBS.c.token == bindparam("of_token"), _JOBS.c.state == LEASED
)
FINISH = (
    update(_JOBS)
    .where(_JOBS.c.id == _JOB_ID)
    .values(
        state=DONE,
        lease_expires_at=null(),
        finished_at=bindparam("at_time"),
        outcome=bindparam("new_outcome"),
        detail=bindparam("new_reason"),
        measurement_id=bindparam("measurement"),
    )
)
_key_is_taken = exists().where(_MEASUREMENTS.c.cache_key == bindparam("key")).correlate(None)
_ADD_MEASUREMENT = insert(_MEASUREMENTS).values(
    id=bindparam("measurement"),
    cache_key=case((_key_is_taken, null()), else_=bindparam("key")),  # `key` is None where it may answer none
    job_id=_JOB_ID,
    device_id=_DEVICE_ID,
    kind=bindparam("new_outcome"),
    outcome=bindparam("told", type_=_MEASUREMENTS.c.outcome.type),
    samples=bindparam("samples"),
    created_at=bindparam("at_time"),
)
STORE = Writes(_END_ATTEMPT, _ADD_MEASUREMENT, FINISH, ADD_EVENT)
"""End a job with the measurement that answers it."""

_JOB_AND_ATTEMPT = _JOBS.outerjoin(
    _ATTEMPTS, and_(_ATTEMPTS.c.job_id == _JOBS.c.id, _ATTEMPTS.c.token == bindparam("of_token"))
)
STANDING = (
    select(
        *(_JOBS.c[each] for each in ("state", "token", "lease_expires_at", "agent_id")),
        _ATTEMPTS.c.agent_id.label("granted_to"),
        _ATTEMPTS.c.ended_by,
        _ATTEMPTS.c.reason,
    )
    .select_from(_JOB_AND_ATTEMPT)
    .where(_JOBS.c.id == _JOB_ID)
)
ASKED = (
    select(
        _ATTEMPTS.c.agent_id,
        _JOBS.c.plan["kind"].label("kind"),
        _JOBS.c.plan["workload"].label("workload"),
    )
    .select_from(_JOB_AND_ATTEMPT)
    .where(_JOBS.c.id == _JOB_ID)
)
