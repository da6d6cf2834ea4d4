"""Of how many calls a sample of a measurement consisted, and what the device said of itself meanwhile."""

import sqlalchemy as sa
from alembic import op

revision = "r0009"
down_revision = "r0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this schema; samples of the one before were single calls."""
    op.add_column("measurements", sa.Column("calls", sa.BigInteger(), server_default="1", nullable=False))
    op.add_column("measurements", sa.Column("conditions", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    """To the schema before."""
    for name in ("conditions", "calls"):
        op.drop_column("measurements", name)
