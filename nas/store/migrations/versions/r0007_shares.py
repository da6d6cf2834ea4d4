"""Evaluations on a share of a split, beside those on all of it."""

import sqlalchemy as sa
from alembic import op

revision = "r0007"
down_revision = "r0006"
branch_labels = None
depends_on = None

WHOLE = "uq_evaluations_supernet_split_digest"
SHARED = "uq_evaluations_supernet_split_share_digest"


def upgrade() -> None:
    """To this schema; all evaluations of the one before are whole ones."""
    with op.batch_alter_table("evaluations") as table:
        table.add_column(sa.Column("share", sa.Double(), nullable=False, server_default="1"))
        table.drop_constraint(WHOLE, type_="unique")
        table.create_unique_constraint(SHARED, ["supernet", "split", "share", "digest"])


def downgrade() -> None:
    """To the schema before, which knows whole evaluations alone."""
    op.execute("DELETE FROM evaluations WHERE share <> 1")
    with op.batch_alter_table("evaluations") as table:
        table.drop_constraint(SHARED, type_="unique")
        table.drop_column("share")
        table.create_unique_constraint(WHOLE, ["supernet", "split", "digest"])
