"""Devices can be paused and quarantined, and agents tell how they stand to each."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _device_columns() -> list[sa.Column[Any]]:
    # Columns are added, never the table made anew: SQLite would delete what refers to its rows.
    return [
        sa.Column("agent_labels", JSON, nullable=False, server_default="{}"),
        sa.Column("label_changes", JSON, nullable=False, server_default="{}"),
        sa.Column("paused_at", UTC_TIME, nullable=True),
        sa.Column("pause_reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("fault_run", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("quarantined_at", UTC_TIME, nullable=True),
        sa.Column("quarantine_reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("quarantine_job_id", sa.String(length=200), nullable=True),
        sa.Column("examined_at", UTC_TIME, nullable=True),
        sa.Column("examination", sa.Text(), nullable=False, server_default=""),
    ]


def upgrade() -> None:
    """Apply."""
    for column in _device_columns():
        op.add_column("devices", column)
    op.execute("UPDATE devices SET agent_labels = labels")
    op.create_table(
        "stations",
        sa.Column("agent_id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=200), nullable=False),
        sa.Column("identity", sa.String(length=200), nullable=True),
        sa.Column("state", sa.String(length=200), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("told_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_stations_agent_id")),
        sa.PrimaryKeyConstraint("agent_id", "name", name=op.f("pk_stations")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("stations")
    for column in reversed(_device_columns()):
        op.drop_column("devices", column.name)
