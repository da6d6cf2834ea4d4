"""In onnxruntime tokens that are decoded append to keys and values of softmax in place, rather than copy
them: what was measured of such models is retired (see `r0010`)."""

import sqlalchemy as sa
from alembic import op

revision = "r0020"
down_revision = "r0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this schema."""
    op.execute(
        sa.text(
            "UPDATE measurements SET retired = TRUE WHERE target IN"
            " (SELECT number FROM targets WHERE text LIKE :decode) AND digest IN"
            " (SELECT digest FROM architectures WHERE architecture LIKE :softmax)"
        ).bindparams(decode="%/onnxruntime/%/decode/%", softmax='%"mixer":"softmax"%')
    )


def downgrade() -> None:
    """To the schema before, which is the same."""
