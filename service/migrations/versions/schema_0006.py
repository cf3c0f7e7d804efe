"""Raw samples lie in blobs, those that were stored before stay in their rows; webhooks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TABLES = ("measurements", "evidence")


def upgrade() -> None:
    """Apply."""
    for table in _TABLES:
        with op.batch_alter_table(table) as changed:
            changed.alter_column("outcome", existing_type=JSON, nullable=table == "measurements")
            changed.add_column(sa.Column("samples", sa.String(length=200), nullable=True))
            changed.create_index(op.f(f"ix_{table}_samples"), ["samples"])
    op.drop_index("ix_measurements_device_id", "measurements")
    op.create_index("ix_measurements_device_created", "measurements", ["device_id", "created_at"])
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kinds", JSON, nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("place", sa.String(length=200), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_at", UTC_TIME, nullable=True),
        sa.Column("last_answer", sa.String(length=200), nullable=False),
        sa.Column("last_at", UTC_TIME, nullable=True),
        sa.Column("given_up_at", UTC_TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )


def downgrade() -> None:
    """Undo; what was stored since lies in blobs that the version before does not read."""
    op.drop_table("webhooks")
    op.drop_index("ix_measurements_device_created", "measurements")
    op.create_index(op.f("ix_measurements_device_id"), "measurements", ["device_id"])
    for table in _TABLES:
        with op.batch_alter_table(table) as changed:
            changed.drop_index(op.f(f"ix_{table}_samples"))
            changed.drop_column("samples")
            changed.alter_column("outcome", existing_type=JSON, nullable=False)
