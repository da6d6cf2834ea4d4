"""What an evaluation scored on each sequence of its split."""

import sqlalchemy as sa
from alembic import op

from nas.store.tables import Json

revision = "r0008"
down_revision = "r0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this schema; of earlier evaluations nothing is known but their mean."""
    with op.batch_alter_table("evaluations") as table:
        table.add_column(sa.Column("sequences", Json(), nullable=True))


def downgrade() -> None:
    """To the schema before, which keeps means alone."""
    with op.batch_alter_table("evaluations") as table:
        table.drop_column("sequences")
