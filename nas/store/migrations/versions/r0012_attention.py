"""A measurement says in which form its file computes attention.

In onnxruntime prompts of 8,192 tokens and more are computed in larger blocks now: what was measured of
softmax attention there is retired (see `r0010`). The form of other measurements from before is not known.
"""

import sqlalchemy as sa
from alembic import op

revision = "r0012"
down_revision = "r0011"
branch_labels = None
depends_on = None

LEAST = 8192


def upgrade() -> None:
    """To this schema."""
    op.add_column("measurements", sa.Column("attention", sa.Text(), server_default="", nullable=False))
    targets = sa.text("SELECT number, text FROM targets WHERE text LIKE '%/onnxruntime/%/prefill/%'")
    for number, text in op.get_bind().execute(targets).all():
        if int(text.rpartition("/n")[2]) >= LEAST:
            op.execute(
                sa.text(
                    "UPDATE measurements SET retired = TRUE WHERE target = :target AND digest IN"
                    " (SELECT digest FROM architectures WHERE architecture LIKE :softmax)"
                ).bindparams(target=number, softmax='%"mixer":"softmax"%')
            )


def downgrade() -> None:
    """To the schema before."""
    op.drop_column("measurements", "attention")
