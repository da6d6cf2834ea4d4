"""Decoding is measured on states of fixed shape, with the position as an input: what was measured of it
before is retired (see `r0010`)."""

import sqlalchemy as sa
from alembic import op

revision = "r0014"
down_revision = "r0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this schema."""
    op.execute(
        sa.text(
            "UPDATE measurements SET retired = TRUE WHERE target IN"
            " (SELECT number FROM targets WHERE text LIKE :decode)"
        ).bindparams(decode="%/decode/%")
    )


def downgrade() -> None:
    """To the schema before, which is the same."""
