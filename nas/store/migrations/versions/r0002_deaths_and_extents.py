"""Deaths of the processes that run a job, the class of its error, and what a front needs of the points
behind it."""

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")
PRESET = sa.text("preset IS NOT NULL")


def upgrade() -> None:
    """To this schema, with what it keeps of points filled from those that are there."""
    op.add_column("jobs", sa.Column("error_kind", CODE, nullable=True))
    op.add_column("jobs", sa.Column("place", CODE, nullable=True))
    op.add_column("jobs", sa.Column("deaths", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("points", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index(
        "ix_points_presets", "points", ["job", "number"], sqlite_where=PRESET, postgresql_where=PRESET
    )
    op.create_table(
        "extents",
        sa.Column("job", NUMBER, sa.ForeignKey("jobs.number", name="fk_extents_job"), nullable=False),
        sa.Column("name", CODE, nullable=False),
        sa.Column("lowest", sa.Double(), nullable=False),
        sa.Column("highest", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job", "name", name="pk_extents"),
        sqlite_with_rowid=False,
    )
    op.execute("UPDATE jobs SET points = (SELECT count(*) FROM points WHERE points.job = jobs.number)")
    for name in ("validation", "parameters", "macs", "state_bytes"):
        op.execute(
            f"INSERT INTO extents (job, name, lowest, highest) SELECT job, '{name}', min({name}), "
            f"max({name}) FROM points WHERE {name} IS NOT NULL GROUP BY job"
        )
    op.execute(
        "INSERT INTO extents (job, name, lowest, highest) SELECT points.job, targets.text, "
        "min(coalesce(measured, predicted)), max(coalesce(measured, predicted)) FROM latencies "
        "JOIN points ON points.number = latencies.point JOIN targets ON targets.number = latencies.target "
        "GROUP BY points.job, targets.text"
    )


def downgrade() -> None:
    """To the schema before."""
    op.drop_table("extents")
    op.drop_index("ix_points_presets", "points")
    for column in ("points", "deaths", "place", "error_kind"):
        op.drop_column("jobs", column)
