"""Where tokens all see each other, `sparse` and `scatter` are cut into blocks that end where the grid does,
and `lsh` moves whole rows: what was measured of their files before is retired (see `r0010`)."""

import sqlalchemy as sa
from alembic import op

revision = "r0017"
down_revision = "r0016"
branch_labels = None
depends_on = None

RETIRE = sa.text(
    "UPDATE measurements SET retired = TRUE WHERE"
    " digest IN (SELECT digest FROM architectures WHERE architecture LIKE :mixer)"
    " AND target IN (SELECT number FROM targets WHERE text LIKE '%/encode/%')"
)


def upgrade() -> None:
    """To this schema."""
    for mixer in ("sparse", "scatter", "lsh"):
        op.execute(RETIRE.bindparams(mixer=f'%"mixer":"{mixer}%'))


def downgrade() -> None:
    """To the schema before, which is the same."""
