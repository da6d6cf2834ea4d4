"""Models that encode are called in a row, and the reference beside them so as well: what was measured of
them before is told in another unit and retired (see `r0010`)."""

import sqlalchemy as sa
from alembic import op

revision = "r0019"
down_revision = "r0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this schema."""
    op.execute(
        sa.text(
            "UPDATE measurements SET retired = TRUE WHERE target IN"
            " (SELECT number FROM targets WHERE text LIKE :encode)"
        ).bindparams(encode="%/encode/%")
    )


def downgrade() -> None:
    """To the schema before, which is the same."""
