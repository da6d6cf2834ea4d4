"""One index is enough to find evaluations and measurements by, and cannot be mistaken for a worse one."""

from alembic import op

revision = "r0006"
down_revision = "r0005"
branch_labels = None
depends_on = None

ORDERS = {
    "ix_evaluations_supernet_split_number": ("evaluations", ["supernet", "split", "number"]),
    "ix_measurements_target_number": ("measurements", ["target", "number"]),
}


def upgrade() -> None:
    """To this schema."""
    for name, (table, _) in ORDERS.items():
        op.drop_index(name, table)


def downgrade() -> None:
    """To the schema before."""
    for name, (table, columns) in ORDERS.items():
        op.create_index(name, table, columns)
