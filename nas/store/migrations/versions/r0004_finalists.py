"""What fine-tuning made of a point."""

import sqlalchemy as sa
from alembic import op

revision = "r0004"
down_revision = "r0003"
branch_labels = None
depends_on = None

CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """To this schema; no point of the one before was fine-tuned."""
    op.add_column("points", sa.Column("tuned_weights", CODE, nullable=True))
    op.add_column("points", sa.Column("tuned_steps", sa.BigInteger(), nullable=True))
    op.add_column("points", sa.Column("tuned_validation", sa.Double(), nullable=True))
    op.add_column("points", sa.Column("tuned_test", sa.Double(), nullable=True))


def downgrade() -> None:
    """To the schema before."""
    for name in ("tuned_test", "tuned_validation", "tuned_steps", "tuned_weights"):
        op.drop_column("points", name)
