"""Studies are led by one of several processes, and share devices fairly."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


_WANTED = {"sqlite": "json_extract(document, '$.trials')", "postgresql": "document->>'trials'"}
_COUNTED = {
    "trials_counted": "",
    "trials_done": " AND trials.state IN ('measured', 'failed', 'duplicate')",
    "trials_failed": " AND trials.state = 'failed'",
}


def _study_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("trials_wanted", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("device_minutes_wanted", sa.Float(), nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=False, server_default="0") for name in _COUNTED),
        sa.Column("front_size", sa.Integer(), nullable=False, server_default="0"),
    ]


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "leads",
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("leader", sa.String(length=200), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("expires_at", UTC_TIME, nullable=False),
        sa.Column("claimed_at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_leads")),
    )
    op.create_table(
        "device_shares",
        sa.Column("device_id", sa.String(length=200), nullable=False),
        sa.Column("sharer", sa.String(length=200), nullable=False),
        sa.Column("used_seconds", sa.Float(), nullable=False),
        sa.Column("virtual_seconds", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_device_shares_device_id")),
        sa.PrimaryKeyConstraint("device_id", "sharer", name=op.f("pk_device_shares")),
    )
    op.create_table(
        "external_quality",
        sa.Column("trial_id", sa.String(length=200), nullable=False),
        sa.Column("metric", sa.String(length=200), nullable=False),
        sa.Column("direction", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("posted_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name=op.f("fk_external_quality_trial_id")),
        sa.PrimaryKeyConstraint("trial_id", "metric", name=op.f("pk_external_quality")),
    )
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("transaction", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=200), nullable=False),
        sa.Column("study_id", sa.String(length=200), nullable=True),
        sa.Column("data", JSON, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_events")),
    )
    op.create_index("ix_events_place", "events", ["transaction", "number"])
    op.create_index("ix_events_study_place", "events", ["study_id", "transaction", "number"])
    op.add_column("devices", sa.Column("metered_at", UTC_TIME, nullable=True))
    op.add_column("attempts", sa.Column("device_seconds", sa.Float(), nullable=False, server_default="0"))
    for column in _study_columns():
        op.add_column("studies", column)
    op.execute(
        "UPDATE studies SET trials_wanted = CAST(" + _WANTED[op.get_bind().dialect.name] + " AS INTEGER)"
    )
    for name, condition in _COUNTED.items():
        op.execute(
            f"UPDATE studies SET {name} = (SELECT COUNT(*) FROM trials "
            f"WHERE trials.study_id = studies.id AND trials.kind <> 'reference'{condition})"
        )
    op.create_index("ix_studies_created_at", "studies", ["created_at"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_studies_created_at", "studies")
    for column in reversed(_study_columns()):
        op.drop_column("studies", column.name)
    op.drop_column("attempts", "device_seconds")
    op.drop_column("devices", "metered_at")
    op.drop_table("events")
    op.drop_table("external_quality")
    op.drop_table("device_shares")
    op.drop_table("leads")
