"""The first schema."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def _number(name: str, references: str | None = None, table: str = "") -> sa.Column[int]:
    if references is None:
        return sa.Column(name, NUMBER, nullable=False)
    key = sa.ForeignKey(references, name=f"fk_{table}_{name}")
    return sa.Column(name, NUMBER, key, nullable=False)


def _columns(kind: sa.types.TypeEngine[Any], *names: str, nullable: bool = False) -> Sequence[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=nullable) for name in names]


def upgrade() -> None:
    """To this schema."""
    op.create_table(
        "jobs",
        _number("number"),
        *_columns(CODE, "id", "owner"),
        *_columns(CODE, "key", nullable=True),
        *_columns(sa.Text(), "spec"),
        *_columns(CODE, "status"),
        *_columns(CODE, "stage", nullable=True),
        *_columns(sa.Text(), "error", nullable=True),
        *_columns(sa.Double(), "created_at", "updated_at"),
        *_columns(CODE, "holder", nullable=True),
        *_columns(sa.Double(), "held_until", nullable=True),
        *_columns(sa.BigInteger(), "last_event"),
        sa.PrimaryKeyConstraint("number", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
        sa.UniqueConstraint("owner", "key", name="uq_jobs_owner_key"),
    )
    op.create_index("ix_jobs_owner_status", "jobs", ["owner", "status"])
    op.create_index("ix_jobs_status_number", "jobs", ["status", "number"])
    op.create_table(
        "events",
        _number("job", "jobs.number", "events"),
        *_columns(sa.BigInteger(), "sequence"),
        *_columns(sa.Double(), "time"),
        *_columns(CODE, "kind"),
        *_columns(CODE, "stage", nullable=True),
        *_columns(sa.Text(), "message"),
        *_columns(sa.Double(), "done", "total"),
        *_columns(sa.Text(), "data"),
        sa.PrimaryKeyConstraint("job", "sequence", name="pk_events"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "states",
        _number("job", "jobs.number", "states"),
        *_columns(CODE, "name"),
        *_columns(sa.Text(), "state"),
        sa.PrimaryKeyConstraint("job", "name", name="pk_states"),
    )
    op.create_table(
        "architectures",
        *_columns(CODE, "digest"),
        *_columns(sa.Text(), "architecture"),
        sa.PrimaryKeyConstraint("digest", name="pk_architectures"),
    )
    op.create_table(
        "targets",
        _number("number"),
        *_columns(CODE, "text"),
        sa.PrimaryKeyConstraint("number", name="pk_targets"),
        sa.UniqueConstraint("text", name="uq_targets_text"),
    )
    op.create_table(
        "measurements",
        _number("number"),
        _number("target", "targets.number", "measurements"),
        *_columns(CODE, "digest"),
        *_columns(sa.Double(), "latency_ms", "spread_ms", "error_ms", "wall_ms", "reference_ms", "drift"),
        *_columns(sa.BigInteger(), "peak_memory_bytes", "repeats", "rejected"),
        *_columns(sa.Boolean(), "noisy"),
        *_columns(sa.Double(), "measured_at"),
        sa.PrimaryKeyConstraint("number", name="pk_measurements"),
        sa.UniqueConstraint("target", "digest", name="uq_measurements_target_digest"),
    )
    op.create_index("ix_measurements_target_number", "measurements", ["target", "number"])
    op.create_table(
        "evaluations",
        _number("number"),
        *_columns(CODE, "supernet", "split", "digest"),
        *_columns(sa.Double(), "value", nullable=True),
        *_columns(sa.Double(), "seconds"),
        sa.PrimaryKeyConstraint("number", name="pk_evaluations"),
        sa.UniqueConstraint("supernet", "split", "digest", name="uq_evaluations_supernet_split_digest"),
    )
    op.create_index("ix_evaluations_supernet_split_number", "evaluations", ["supernet", "split", "number"])
    op.create_table(
        "supernets",
        *_columns(CODE, "digest"),
        *_columns(sa.Text(), "space", "task"),
        *_columns(sa.BigInteger(), "seed", "steps"),
        *_columns(sa.Double(), "tokens_per_second"),
        *_columns(sa.Text(), "path"),
        sa.PrimaryKeyConstraint("digest", name="pk_supernets"),
    )
    op.create_table(
        "predictors",
        _number("target", "targets.number", "predictors"),
        *_columns(CODE, "space"),
        *_columns(sa.Text(), "state"),
        sa.PrimaryKeyConstraint("target", "space", name="pk_predictors"),
    )
    op.create_table(
        "points",
        _number("number"),
        _number("job", "jobs.number", "points"),
        sa.Column(
            "digest", CODE, sa.ForeignKey("architectures.digest", name="fk_points_digest"), nullable=False
        ),
        *_columns(sa.Double(), "validation", "test", nullable=True),
        *_columns(sa.BigInteger(), "parameters", "macs", "state_bytes"),
        *_columns(sa.Text(), "preset", nullable=True),
        *_columns(sa.Boolean(), "on_front"),
        sa.PrimaryKeyConstraint("number", name="pk_points"),
        sa.UniqueConstraint("job", "digest", name="uq_points_job_digest"),
    )
    op.create_index("ix_points_job_number", "points", ["job", "number"])
    op.create_index("ix_points_job_on_front_number", "points", ["job", "on_front", "number"])
    op.create_table(
        "latencies",
        _number("point", "points.number", "latencies"),
        _number("target", "targets.number", "latencies"),
        *_columns(sa.Double(), "predicted", "predicted_std"),
        *_columns(sa.Double(), "measured", "measured_std", nullable=True),
        sa.PrimaryKeyConstraint("point", "target", name="pk_latencies"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """To nothing."""
    for table in (
        "latencies",
        "points",
        "predictors",
        "supernets",
        "evaluations",
        "measurements",
        "targets",
        "architectures",
        "states",
        "events",
        "jobs",
    ):
        op.drop_table(table)
