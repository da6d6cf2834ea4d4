"""What is known of points is one table by objective, rather than a column for each count and a table of
latencies; predictors and extents are of objectives too."""

import sqlalchemy as sa
from alembic import op

from nas.store.tables import Json

revision = "r0011"
down_revision = "r0010"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")
COUNTS = ("parameters", "macs", "state_bytes")
OF_LATENCY = "SELECT o.number FROM objectives o WHERE o.kind = 'latency_ms' AND o.target = t.text"


def upgrade() -> None:
    """To this schema."""
    op.create_table(
        "objectives",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("kind", CODE, nullable=False),
        sa.Column("target", CODE, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_objectives"),
        sa.UniqueConstraint("kind", "target", name="uq_objectives_kind_target"),
    )
    op.create_table(
        "point_values",
        _reference("point", "points", "point_values"),
        _reference("objective", "objectives", "point_values"),
        sa.Column("predicted", sa.Double(), nullable=False),
        *(sa.Column(n, sa.Double(), nullable=True) for n in ("predicted_std", "measured", "measured_std")),
        sa.Column("slowdown", sa.Double(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("point", "objective", name="pk_point_values"),
        sqlite_with_rowid=False,
    )
    for kind in ("quality", *COUNTS):
        op.execute(
            f"INSERT INTO objectives (kind, target) SELECT '{kind}', '' WHERE EXISTS (SELECT 1 FROM points)"
        )
    op.execute("INSERT INTO objectives (kind, target) SELECT 'latency_ms', text FROM targets ORDER BY number")
    for count in COUNTS:
        op.execute(
            f"INSERT INTO point_values (point, objective, predicted) SELECT p.number, o.number, p.{count} "
            f"FROM points p JOIN objectives o ON o.kind = '{count}'"
        )
    columns = "predicted, predicted_std, measured, measured_std, slowdown"
    op.execute(
        f"INSERT INTO point_values (point, objective, {columns}) SELECT point, ({OF_LATENCY}), {columns} "
        "FROM latencies JOIN targets t ON t.number = latencies.target"
    )
    op.drop_table("latencies")
    for count in COUNTS:
        op.drop_column("points", count)
    _make_extents_anew("objective", "objectives")
    op.execute(
        "INSERT INTO extents (job, objective, lowest, highest) SELECT k.job, o.number, k.lowest, k.highest "
        "FROM kept_extents k JOIN objectives o ON (o.target = '' AND k.name = CASE o.kind "
        "WHEN 'quality' THEN 'validation' ELSE o.kind END) OR (o.kind = 'latency_ms' AND o.target = k.name)"
    )
    op.drop_table("kept_extents")
    _make_predictors_anew("objective", "objectives")
    op.execute(
        f"INSERT INTO predictors (objective, space, state) SELECT ({OF_LATENCY}), k.space, k.state "
        "FROM kept_predictors k JOIN targets t ON t.number = k.target"
    )
    op.drop_table("kept_predictors")


def downgrade() -> None:
    """To the schema before, which knows of counts and latencies alone."""
    of_target = "SELECT t.number FROM targets t WHERE t.text = o.target"
    op.execute(
        "INSERT INTO targets (text) SELECT o.target FROM objectives o WHERE o.kind = 'latency_ms' "
        "AND NOT EXISTS (SELECT 1 FROM targets t WHERE t.text = o.target)"
    )
    _make_predictors_anew("target", "targets")
    op.execute(
        f"INSERT INTO predictors (target, space, state) SELECT ({of_target}), k.space, k.state "
        "FROM kept_predictors k JOIN objectives o ON o.number = k.objective WHERE o.kind = 'latency_ms'"
    )
    op.drop_table("kept_predictors")
    _make_extents_anew("name", None)
    op.execute(
        "INSERT INTO extents (job, name, lowest, highest) SELECT k.job, CASE o.kind WHEN 'quality' "
        "THEN 'validation' WHEN 'latency_ms' THEN o.target ELSE o.kind END, k.lowest, k.highest "
        "FROM kept_extents k JOIN objectives o ON o.number = k.objective "
        "WHERE o.kind IN ('quality', 'latency_ms', 'parameters', 'macs', 'state_bytes')"
    )
    op.drop_table("kept_extents")
    for count in COUNTS:
        op.add_column("points", sa.Column(count, sa.BigInteger(), server_default="0", nullable=False))
        op.execute(
            f"UPDATE points SET {count} = (SELECT CAST(v.predicted AS BIGINT) FROM point_values v JOIN "
            f"objectives o ON o.number = v.objective WHERE v.point = points.number AND o.kind = '{count}')"
        )
    op.create_table(
        "latencies",
        _reference("point", "points", "latencies"),
        _reference("target", "targets", "latencies"),
        *(sa.Column(n, sa.Double(), nullable=False) for n in ("predicted", "predicted_std")),
        *(sa.Column(n, sa.Double(), nullable=True) for n in ("measured", "measured_std")),
        sa.Column("slowdown", sa.Double(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("point", "target", name="pk_latencies"),
        sqlite_with_rowid=False,
    )
    columns = "predicted, predicted_std, measured, measured_std, slowdown"
    op.execute(
        f"INSERT INTO latencies (point, target, {columns}) SELECT v.point, ({of_target}), {columns} "
        "FROM point_values v JOIN objectives o ON o.number = v.objective WHERE o.kind = 'latency_ms'"
    )
    op.drop_table("point_values")
    op.drop_table("objectives")


def _reference(name: str, table: str, of: str) -> sa.Column[int]:
    key = sa.ForeignKey(f"{table}.number", name=f"fk_{of}_{name}")
    return sa.Column(name, NUMBER, key, nullable=False)


def _make_extents_anew(by: str, table: str | None) -> None:
    """Empty, with another column in its key; what was in it is in `kept_extents`."""
    op.execute("CREATE TABLE kept_extents AS SELECT * FROM extents")
    op.drop_table("extents")
    op.create_table(
        "extents",
        _reference("job", "jobs", "extents"),
        sa.Column(by, CODE, nullable=False) if table is None else _reference(by, table, "extents"),
        sa.Column("lowest", sa.Double(), nullable=False),
        sa.Column("highest", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job", by, name="pk_extents"),
        sqlite_with_rowid=False,
    )


def _make_predictors_anew(by: str, table: str) -> None:
    """Empty, with another column in its key; what was in it is in `kept_predictors`."""
    op.execute("CREATE TABLE kept_predictors AS SELECT * FROM predictors")
    op.drop_table("predictors")
    op.create_table(
        "predictors",
        _reference(by, table, "predictors"),
        sa.Column("space", CODE, nullable=False),
        sa.Column("state", Json(), nullable=False),
        sa.PrimaryKeyConstraint(by, "space", name="pk_predictors"),
    )
