"""What stands in for measurements of a disturbed device."""

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this schema; nothing of the one before was corrected."""
    op.add_column("measurements", sa.Column("corrected_ms", sa.Double(), nullable=True))
    op.add_column("measurements", sa.Column("corrected_error_ms", sa.Double(), nullable=True))
    for table in ("measurements", "latencies"):
        op.add_column(table, sa.Column("slowdown", sa.Double(), server_default="1", nullable=False))


def downgrade() -> None:
    """To the schema before."""
    for table in ("latencies", "measurements"):
        op.drop_column(table, "slowdown")
    for name in ("corrected_error_ms", "corrected_ms"):
        op.drop_column("measurements", name)
