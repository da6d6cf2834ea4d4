"""Models are measured again in later sessions, which tells what sessions differ by."""

import sqlalchemy as sa
from alembic import op

revision = "r0015"
down_revision = "r0014"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """To this schema."""
    op.create_table(
        "repeats",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column(
            "target", NUMBER, sa.ForeignKey("targets.number", name="fk_repeats_target"), nullable=False
        ),
        sa.Column("digest", CODE, nullable=False),
        sa.Column("session", CODE, nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("latency_ms", "error_ms", "measured_at")),
        sa.PrimaryKeyConstraint("number", name="pk_repeats"),
        sa.UniqueConstraint("target", "digest", "session", name="uq_repeats_target_digest_session"),
    )


def downgrade() -> None:
    """To the schema before, which measures everything once."""
    op.drop_table("repeats")
