"""In onnxruntime tokens that are decoded append in place to keys and values of block-sparse attention with
random blocks as well, and of softmax with heads of any size, rather than copy them: what was measured of such
models is retired (see `r0010`). So is that of sparse attention without random blocks, for SQL does not tell
them apart."""

import sqlalchemy as sa
from alembic import op

revision = "r0021"
down_revision = "r0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this schema."""
    op.execute(
        sa.text(
            "UPDATE measurements SET retired = TRUE WHERE target IN"
            " (SELECT number FROM targets WHERE text LIKE :decode) AND digest IN"
            " (SELECT digest FROM architectures"
            " WHERE architecture LIKE :softmax OR architecture LIKE :sparse)"
        ).bindparams(
            decode="%/onnxruntime/%/decode/%", softmax='%"mixer":"softmax"%', sparse='%"mixer":"sparse:%'
        )
    )


def downgrade() -> None:
    """To the schema before, which is the same."""
