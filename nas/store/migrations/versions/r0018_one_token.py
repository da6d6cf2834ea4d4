"""Beside decoding the reference reads one token, in a row, rather than 128 at once: what was measured of
decoding before, on anything but GPUs, is told in another unit and retired (see `r0010`)."""

import sqlalchemy as sa
from alembic import op

revision = "r0018"
down_revision = "r0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this schema."""
    op.execute(
        sa.text(
            "UPDATE measurements SET retired = TRUE WHERE target IN"
            " (SELECT number FROM targets WHERE text LIKE :decode AND text NOT LIKE :gpu)"
        ).bindparams(decode="%/decode/%", gpu="%-cuda/%")
    )


def downgrade() -> None:
    """To the schema before, which is the same."""
