"""What a search was told is added to a journal, rather than written whole with every step."""

import base64
import json

import numpy as np
import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CODE = sa.String().with_variant(sa.String(collation="C"), "postgresql")

STATES = sa.table("states", sa.column("job"), sa.column("name"), sa.column("state"))
NEWS = sa.table("news", sa.column("job"), sa.column("name"), sa.column("news"))


def upgrade() -> None:
    """To this schema."""
    op.create_table(
        "news",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("job", NUMBER, sa.ForeignKey("jobs.number", name="fk_news_job"), nullable=False),
        sa.Column("name", CODE, nullable=False),
        sa.Column("news", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_news"),
    )
    op.create_index("ix_news_job_name_number", "news", ["job", "name", "number"])
    connection = op.get_bind()
    for row in connection.execute(sa.select(STATES)).all():
        state = json.loads(row.state)
        ledger = state.get("strategy", {}).pop("ledger", None)
        if ledger is None:
            continue
        told = np.frombuffer(base64.b64decode(ledger["told"]["data"]), bool)
        positions = np.flatnonzero(told).astype("<i8")
        packed = {
            "dtype": "<i8",
            "shape": list(positions.shape),
            "data": base64.b64encode(positions.tobytes()).decode("ascii"),
        }
        news = {"rows": ledger["rows"], "positions": packed, "values": ledger["values"]}
        mine = (STATES.c.job == row.job) & (STATES.c.name == row.name)
        connection.execute(sa.update(STATES).where(mine).values(state=json.dumps(state)))
        connection.execute(sa.insert(NEWS), {"job": row.job, "name": row.name, "news": json.dumps(news)})


def downgrade() -> None:
    """To the schema before. Searches that are under way start again, from what was evaluated."""
    known = sa.select(NEWS.c.job, NEWS.c.name)
    op.get_bind().execute(sa.delete(STATES).where(sa.tuple_(STATES.c.job, STATES.c.name).in_(known)))
    op.drop_table("news")
