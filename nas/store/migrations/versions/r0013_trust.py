"""Jobs have a group and may be shared; files have checksums; what is forgotten is written down."""

import sqlalchemy as sa
from alembic import op

revision = "r0013"
down_revision = "r0012"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """To this schema."""
    op.add_column("jobs", sa.Column("team", CODE, server_default="", nullable=False))
    op.add_column("jobs", sa.Column("shared", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "files",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", CODE, nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_files"),
    )
    op.create_table(
        "forgotten",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column(
            "target", NUMBER, sa.ForeignKey("targets.number", name="fk_forgotten_target"), nullable=False
        ),
        sa.Column("digest", CODE, nullable=False),
        *(
            sa.Column(name, sa.Double(), nullable=False)
            for name in ("latency_ms", "measured_at", "forgotten_at")
        ),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("by", "why")),
        sa.PrimaryKeyConstraint("number", name="pk_forgotten"),
    )


def downgrade() -> None:
    """To the schema before, which lets everybody see every job and forgets nothing."""
    op.drop_table("forgotten")
    op.drop_table("files")
    op.drop_column("jobs", "shared")
    op.drop_column("jobs", "team")
