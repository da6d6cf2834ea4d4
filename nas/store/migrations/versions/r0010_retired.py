"""Measurements of files that are made in another way now.

Causal softmax attention was masked whole then and is computed in blocks now; int8 quantised no weight, and in
bf16 positions beyond 256 were wrong. Beside new measurements the old ones would mislead predictors.
"""

import sqlalchemy as sa
from alembic import op

revision = "r0010"
down_revision = "r0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this schema. A later change of what a latency is of retires its measurements likewise."""
    op.add_column(
        "measurements", sa.Column("retired", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.execute(
        sa.text(
            "UPDATE measurements SET retired = TRUE WHERE digest IN"
            " (SELECT digest FROM architectures WHERE architecture LIKE :softmax) OR target IN"
            " (SELECT number FROM targets WHERE text LIKE '%/int8/%' OR text LIKE '%/bf16/%')"
        ).bindparams(softmax='%"mixer":"softmax"%')
    )


def downgrade() -> None:
    """To the schema before, which knows nothing of how a file was made."""
    op.execute(sa.text("DELETE FROM measurements WHERE retired"))
    op.drop_column("measurements", "retired")
