"""Beside decoding the reference is called in a row, and its nominal time is that of an undisturbed device:
what was measured of decoding before is retired (see `r0010`). Browsers did so from the first."""

import sqlalchemy as sa
from alembic import op

revision = "r0016"
down_revision = "r0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this schema."""
    op.execute(
        sa.text(
            "UPDATE measurements SET retired = TRUE WHERE target IN"
            " (SELECT number FROM targets WHERE text LIKE :decode AND text NOT LIKE :browser)"
        ).bindparams(decode="%/decode/%", browser="%/onnxruntime-web%")
    )


def downgrade() -> None:
    """To the schema before, which is the same."""
