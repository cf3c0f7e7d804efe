"""Profiles of devices."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "device_profiles",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("device_id", sa.String(length=200), nullable=False),
        sa.Column("scope", JSON, nullable=False),
        sa.Column("fresh", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("finished_at", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_device_profiles_device_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_profiles")),
    )
    with op.batch_alter_table("device_profiles", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_device_profiles_device_id"), ["device_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_device_profiles_state"), ["state"], unique=False)
    op.create_table(
        "profile_entries",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("profile_id", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sa.Column("candidate_digest", sa.String(length=200), nullable=True),
        sa.Column("conditions", JSON, nullable=False),
        sa.Column("effort", sa.Double(), nullable=False),
        sa.Column("observations", JSON, nullable=False),
        sa.Column("state", sa.String(length=200), nullable=False),
        sa.Column("outcome", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.Column("request_id", sa.String(length=200), nullable=True),
        sa.Column("job_id", sa.String(length=200), nullable=True),
        sa.Column("calibration_id", sa.String(length=200), nullable=True),
        sa.Column("measurement_id", sa.String(length=200), nullable=True),
        sa.Column("started_at", UTC_TIME, nullable=True),
        sa.Column("finished_at", UTC_TIME, nullable=True),
        *(
            sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_profile_entries_{column}"))
            for column, target in {
                "profile_id": "device_profiles.id",
                "candidate_digest": "candidates.digest",
                "request_id": "measurement_requests.id",
                "job_id": "jobs.id",
                "calibration_id": "calibrations.id",
                "measurement_id": "measurements.id",
            }.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile_entries")),
        sa.UniqueConstraint("profile_id", "position", name=op.f("uq_profile_entries_profile_id")),
    )
    with op.batch_alter_table("profile_entries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_profile_entries_job_id"), ["job_id"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("profile_entries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_profile_entries_job_id"))
    op.drop_table("profile_entries")
    with op.batch_alter_table("device_profiles", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_device_profiles_state"))
        batch_op.drop_index(batch_op.f("ix_device_profiles_device_id"))
    op.drop_table("device_profiles")
