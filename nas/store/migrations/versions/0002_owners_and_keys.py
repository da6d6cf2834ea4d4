"""Owners and idempotency keys of jobs"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("owner", sa.String(length=255), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("key", sa.String(length=255), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_jobs_key"), ["key"])
        batch_op.create_index("ix_jobs_owner_status", ["owner", "status"], unique=False)
