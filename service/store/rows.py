"""The tables, as typed ORM rows."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

Json = dict[str, Any]


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime in Python, on databases with time zones and without."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store UTC; SQLite keeps no zone."""
        if value is None:
            return None
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give an aware value back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Row(DeclarativeBase):
    """Base of all rows."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy reads it from the class
        str: String(200),
        datetime: UtcDateTime(),
        Json: JSON().with_variant(JSONB(), "postgresql"),
        list[Any]: JSON().with_variant(JSONB(), "postgresql"),
    }


class AgentRow(Row):
    """An agent: one process on a lab host, known by its identity."""

    __tablename__ = "agents"

    id: Mapped[str] = mapped_column(primary_key=True)
    identity: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class DeviceRow(Row):
    """A device that an agent can reach, and whether it may be measured.

    `labels` are those of its agent with the changes that users made; a change to null takes a label away.
    """

    __tablename__ = "devices"

    id: Mapped[str] = mapped_column(primary_key=True)
    identity: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(unique=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"))
    kind: Mapped[str]
    labels: Mapped[Json]
    agent_labels: Mapped[Json]
    label_changes: Mapped[Json]
    facts: Mapped[Json]
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    paused_at: Mapped[datetime | None]
    pause_reason: Mapped[str] = mapped_column(Text)
    fault_run: Mapped[int]
    quarantined_at: Mapped[datetime | None]
    quarantine_reason: Mapped[str] = mapped_column(Text)
    quarantine_job_id: Mapped[str | None]
    examined_at: Mapped[datetime | None]
    examination: Mapped[str] = mapped_column(Text)
    metered_at: Mapped[datetime | None]


class DeviceShareRow(Row):
    """What a study took of a device's time, and where it stands in line for it."""

    __tablename__ = "device_shares"

    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"), primary_key=True)
    sharer: Mapped[str] = mapped_column(primary_key=True)
    used_seconds: Mapped[float]
    virtual_seconds: Mapped[float]


class TokenRow(Row):
    """A token by its keyed hash; `parent_id` is the one it was made from, `used_up_at` that of one that counts once."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    scopes: Mapped[list[Any]]
    digest: Mapped[str] = mapped_column(unique=True)
    parent_id: Mapped[str | None]
    agent_id: Mapped[str | None] = mapped_column(ForeignKey("agents.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    used_up_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditRow(Row):
    """A line of the audit log, with its hash and that of the line before."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False
    )
    at: Mapped[datetime]
    actor: Mapped[str]
    token_id: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str] = mapped_column(Text)
    status: Mapped[int]
    address: Mapped[str]
    previous_hash: Mapped[str]
    hash: Mapped[str]


class NoteRow(Row):
    """A value that all processes of a service share."""

    __tablename__ = "notes"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class StationRow(Row):
    """A device as its agent stands to it: ready, resting by its owner's rules, or not to be opened and why."""

    __tablename__ = "stations"

    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    identity: Mapped[str | None]
    state: Mapped[str]
    words: Mapped[str] = mapped_column(Text)
    told_at: Mapped[datetime]


class StudyRow(Row):
    """A study: its document as it was submitted, and how far it is; trials are counted without references."""

    __tablename__ = "studies"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    document: Mapped[Json]
    document_digest: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    detail: Mapped[str] = mapped_column(Text)
    reference_point: Mapped[list[Any] | None]
    repeats_requested: Mapped[int]
    priority: Mapped[int]
    trials_wanted: Mapped[int]
    device_minutes_wanted: Mapped[float | None]
    trials_counted: Mapped[int]
    trials_done: Mapped[int]
    trials_failed: Mapped[int]
    front_size: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(index=True)
    resumed_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class LeadRow(Row):
    """Which process moves a study on, under a growing token and until when; `leader` is "" where none does."""

    __tablename__ = "leads"

    subject: Mapped[str] = mapped_column(primary_key=True)
    leader: Mapped[str]
    token: Mapped[int]
    expires_at: Mapped[datetime]
    claimed_at: Mapped[datetime]


class CandidateRow(Row):
    """An architecture, once per digest."""

    __tablename__ = "candidates"

    digest: Mapped[str] = mapped_column(primary_key=True)
    layout: Mapped[str]
    architecture: Mapped[Json]
    created_at: Mapped[datetime]


class TrialRow(Row):
    """One trial of a study: a candidate, what became of it, and its values."""

    __tablename__ = "trials"
    __table_args__ = (UniqueConstraint("study_id", "number"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), index=True)
    number: Mapped[int]
    kind: Mapped[str]
    label: Mapped[str]
    candidate_digest: Mapped[str] = mapped_column(ForeignKey("candidates.digest"), index=True)
    parameters: Mapped[Json]
    state: Mapped[str] = mapped_column(index=True)
    outcome: Mapped[str]
    detail: Mapped[str] = mapped_column(Text)
    observations: Mapped[Json]
    work_seconds: Mapped[float]
    hypervolume: Mapped[float | None]
    created_at: Mapped[datetime]
    launched_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ExternalQualityRow(Row):
    """A quality value of a trial that a user found elsewhere, with where it is from."""

    __tablename__ = "external_quality"

    trial_id: Mapped[str] = mapped_column(ForeignKey("trials.id"), primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    direction: Mapped[str]
    value: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    source: Mapped[str] = mapped_column(Text)
    posted_at: Mapped[datetime]


class CalibrationRow(Row):
    """The sentinel's quiet level on a device for one workload, runtime and runner."""

    __tablename__ = "calibrations"

    id: Mapped[str] = mapped_column(primary_key=True)
    cache_key: Mapped[str] = mapped_column(unique=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"), index=True)
    measurement_id: Mapped[str] = mapped_column(ForeignKey("measurements.id"))
    sentinel_version: Mapped[str]
    reference: Mapped[Json]
    created_at: Mapped[datetime]


class StudyTargetRow(Row):
    """A target of a study: the device it means and the calibration that is pinned."""

    __tablename__ = "study_targets"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    calibration_id: Mapped[str | None] = mapped_column(ForeignKey("calibrations.id"))


class JobRow(Row):
    """A measurement job: a plan for one device, leased to its agent under a growing token.

    Plans are long and most who read a job don't ask for it: it is read when it is.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_device_state", "device_id", "state", "priority", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    study_id: Mapped[str | None] = mapped_column(ForeignKey("studies.id"), index=True)
    purpose: Mapped[str]
    cache_key: Mapped[str] = mapped_column(index=True)
    bypasses_cache: Mapped[bool]
    plan: Mapped[Json] = mapped_column(deferred=True)
    priority: Mapped[int]
    state: Mapped[str]
    token: Mapped[int]
    agent_id: Mapped[str | None] = mapped_column(ForeignKey("agents.id"))
    lease_expires_at: Mapped[datetime | None]
    not_before: Mapped[datetime]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str]
    detail: Mapped[str] = mapped_column(Text)
    measurement_id: Mapped[str | None] = mapped_column(ForeignKey("measurements.id"))


class AttemptRow(Row):
    """One grant of a job's lease and how it ended, with the log of what ran."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("job_id", "token"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    token: Mapped[int]
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"))
    granted_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str]
    outcome: Mapped[str]
    reason: Mapped[str] = mapped_column(Text)
    log: Mapped[str] = mapped_column(Text)
    device_seconds: Mapped[float]


class MeasurementRow(Row):
    """A finished measurement, reused by its cache key; `samples` is the blob that holds it where it has any."""

    __tablename__ = "measurements"
    __table_args__ = (Index("ix_measurements_device_created", "device_id", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    cache_key: Mapped[str | None] = mapped_column(unique=True)
    job_id: Mapped[str] = mapped_column(unique=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    kind: Mapped[str]
    outcome: Mapped[Json | None]
    samples: Mapped[str | None] = mapped_column(index=True)
    created_at: Mapped[datetime]


class TrialMeasurementRow(Row):
    """Which job or stored measurement answers a trial on a target; round 0, and 1 and on for repeats."""

    __tablename__ = "trial_measurements"
    __table_args__ = (UniqueConstraint("trial_id", "target", "round"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    trial_id: Mapped[str] = mapped_column(ForeignKey("trials.id"))
    target: Mapped[str]
    round: Mapped[int]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    measurement_id: Mapped[str | None] = mapped_column(ForeignKey("measurements.id"))


class MeasurementRequestRow(Row):
    """A user's wish to measure one architecture, outside a study."""

    __tablename__ = "measurement_requests"

    id: Mapped[str] = mapped_column(primary_key=True)
    candidate_digest: Mapped[str] = mapped_column(ForeignKey("candidates.digest"))
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    conditions: Mapped[Json]
    state: Mapped[str] = mapped_column(index=True)
    detail: Mapped[str] = mapped_column(Text)
    calibration_id: Mapped[str | None] = mapped_column(ForeignKey("calibrations.id"))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    measurement_id: Mapped[str | None] = mapped_column(ForeignKey("measurements.id"))
    fresh: Mapped[bool]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class EventRow(Row):
    """Something that happened, in the order in which readers may see it."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_place", "transaction", "number"),
        Index("ix_events_study_place", "study_id", "transaction", "number"),
    )

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    transaction: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]
    study_id: Mapped[str | None]
    data: Mapped[Json]
    at: Mapped[datetime]


class WebhookRow(Row):
    """Whom to tell of what; `place` is up to where that was done."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    kinds: Mapped[list[Any]]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    place: Mapped[str]
    failures: Mapped[int]
    next_at: Mapped[datetime | None]
    last_answer: Mapped[str]
    last_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]


class RecallScoreRow(Row):
    """A recall score that was trained on demand, by pattern and recipe."""

    __tablename__ = "recall_scores"

    pattern: Mapped[str] = mapped_column(primary_key=True)
    recipe: Mapped[str] = mapped_column(primary_key=True)
    mean: Mapped[float]
    sd: Mapped[float]
    seeds: Mapped[int]
    created_at: Mapped[datetime]


class EvidenceRow(Row):
    """A result that was refused, kept whole: in the row, or its samples in a blob."""

    __tablename__ = "evidence"

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(index=True)
    token: Mapped[int]
    code: Mapped[str]
    outcome: Mapped[Json]
    samples: Mapped[str | None] = mapped_column(index=True)
    created_at: Mapped[datetime]


class DeviceProfileRow(Row):
    """What a device tells at once: its memory's bandwidth, the mixers' costs and known shapes; measured as jobs."""

    __tablename__ = "device_profiles"

    id: Mapped[str] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"), index=True)
    scope: Mapped[Json]
    fresh: Mapped[bool]
    state: Mapped[str] = mapped_column(index=True)
    detail: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class ProfileEntryRow(Row):
    """One measurement of a profile: a candidate's request, or the job that reads the memory's bandwidth."""

    __tablename__ = "profile_entries"
    __table_args__ = (UniqueConstraint("profile_id", "position"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    profile_id: Mapped[str] = mapped_column(ForeignKey("device_profiles.id"))
    position: Mapped[int]
    kind: Mapped[str]
    name: Mapped[str]
    copies: Mapped[int]
    candidate_digest: Mapped[str | None] = mapped_column(ForeignKey("candidates.digest"))
    conditions: Mapped[Json]
    effort: Mapped[float]
    observations: Mapped[Json]
    state: Mapped[str]
    outcome: Mapped[str]
    detail: Mapped[str] = mapped_column(Text)
    reused: Mapped[bool]
    request_id: Mapped[str | None] = mapped_column(ForeignKey("measurement_requests.id"))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    calibration_id: Mapped[str | None] = mapped_column(ForeignKey("calibrations.id"))
    measurement_id: Mapped[str | None] = mapped_column(ForeignKey("measurements.id"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
