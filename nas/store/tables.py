"""The tables, as typed SQLAlchemy models. What a column means is said by the noun that it holds.

Every change here needs a migration (`nas/store/migrations`); a test compares the two.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    false,
    text,
)
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from nas.store.text import storable

__all__ = [
    "ArchitectureRow",
    "Base",
    "EvaluationRow",
    "EventRow",
    "ExtentRow",
    "FileRow",
    "ForgottenRow",
    "JobRow",
    "JournalRow",
    "MeasurementRow",
    "ObjectiveRow",
    "PointRow",
    "PointValueRow",
    "PredictorRow",
    "StateRow",
    "SupernetRow",
    "TargetRow",
]


class Prose(TypeDecorator[str]):
    """Text that people wrote or read, as far as a database can keep it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else storable(value)


class Json(TypeDecorator[Any]):
    """Plain data as JSON text (NaN and infinities as Python's `json` writes them): it is read whole or
    not at all, never searched."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """To the database."""
        return json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From the database."""
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    """All tables. Constraints have names on every database, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# SQLite counts rows by itself only in a column of exactly this type.
_WHOLE: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
# Compared byte by byte everywhere, so that a range of an index finds what begins with a text.
_CODE: TypeEngine[str] = String().with_variant(String(collation="C"), "postgresql")

Number = Annotated[int, mapped_column(_WHOLE, primary_key=True, autoincrement=True)]
Code = Annotated[str, mapped_column(_CODE)]
Prosaic = Annotated[str, mapped_column(Prose)]
Data = Annotated[Any, mapped_column(Json)]
Real = Annotated[float, mapped_column(Double)]
Whole = Annotated[int, mapped_column(BigInteger)]
OfJob = Annotated[int, mapped_column(_WHOLE, ForeignKey("jobs.number"))]
OfTarget = Annotated[int, mapped_column(_WHOLE, ForeignKey("targets.number"))]
OfObjective = Annotated[int, mapped_column(_WHOLE, ForeignKey("objectives.number"))]


class JobRow(Base):
    """A job, its lease, the number of its last event and of its points, where its process went on, and how
    many processes died there."""

    __tablename__ = "jobs"
    __table_args__ = (
        Unique("owner", "key"),
        Index(None, "owner", "status"),
        Index(None, "status", "number"),
    )

    number: Mapped[Number]
    id: Mapped[str] = mapped_column(_CODE, unique=True)
    owner: Mapped[Code]
    key: Mapped[str | None] = mapped_column(_CODE)
    spec: Mapped[str] = mapped_column(Text)
    status: Mapped[Code]
    stage: Mapped[str | None] = mapped_column(_CODE)
    error: Mapped[str | None] = mapped_column(Prose)
    created_at: Mapped[Real]
    updated_at: Mapped[Real]
    holder: Mapped[str | None] = mapped_column(_CODE)
    held_until: Mapped[float | None] = mapped_column(Double)
    last_event: Mapped[Whole]
    error_kind: Mapped[str | None] = mapped_column(_CODE)
    place: Mapped[str | None] = mapped_column(_CODE)
    deaths: Mapped[Whole] = mapped_column(server_default="0")
    points: Mapped[Whole] = mapped_column(server_default="0")
    team: Mapped[Code] = mapped_column(server_default="")
    shared: Mapped[bool] = mapped_column(Boolean, server_default=false())


class EventRow(Base):
    """One event of a job."""

    __tablename__ = "events"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job: Mapped[OfJob] = mapped_column(primary_key=True)
    sequence: Mapped[Whole] = mapped_column(primary_key=True, autoincrement=False)
    time: Mapped[Real]
    kind: Mapped[Code]
    stage: Mapped[str | None] = mapped_column(_CODE)
    message: Mapped[Prosaic]
    done: Mapped[Real]
    total: Mapped[Real]
    data: Mapped[Data]


class StateRow(Base):
    """A named piece of a job's data."""

    __tablename__ = "states"

    job: Mapped[OfJob] = mapped_column(primary_key=True)
    name: Mapped[Code] = mapped_column(primary_key=True)
    state: Mapped[Data]


class JournalRow(Base):
    """An entry of a journal, which came with a state of a job."""

    __tablename__ = "news"
    __table_args__ = (Index(None, "job", "name", "number"),)

    number: Mapped[Number]
    job: Mapped[OfJob]
    name: Mapped[Code]
    entry: Mapped[Data] = mapped_column("news", key="entry")


class ArchitectureRow(Base):
    """What a digest stands for, as its canonical JSON."""

    __tablename__ = "architectures"

    digest: Mapped[Code] = mapped_column(primary_key=True)
    architecture: Mapped[str] = mapped_column(Text)


class TargetRow(Base):
    """A target's text, kept once."""

    __tablename__ = "targets"

    number: Mapped[Number]
    text: Mapped[str] = mapped_column(_CODE, unique=True)


class MeasurementRow(Base):
    """What a device said of an architecture first; where it was disturbed then, what stands in for that.

    One that is retired is of a file that is made in another way now: it is kept, but nobody hears of it, and
    the next measurement takes its place.
    """

    __tablename__ = "measurements"
    __table_args__ = (Unique("target", "digest"),)

    number: Mapped[Number]
    target: Mapped[OfTarget]
    digest: Mapped[Code]
    latency_ms: Mapped[Real]
    spread_ms: Mapped[Real]
    error_ms: Mapped[Real]
    wall_ms: Mapped[Real]
    reference_ms: Mapped[Real]
    drift: Mapped[Real]
    peak_memory_bytes: Mapped[Whole]
    repeats: Mapped[Whole]
    rejected: Mapped[Whole]
    noisy: Mapped[bool] = mapped_column(Boolean)
    measured_at: Mapped[Real]
    corrected_ms: Mapped[float | None] = mapped_column(Double)
    corrected_error_ms: Mapped[float | None] = mapped_column(Double)
    calls: Mapped[Whole] = mapped_column(server_default="1")
    conditions: Mapped[str] = mapped_column(Text, server_default="")
    attention: Mapped[str] = mapped_column(Text, server_default="")
    slowdown: Mapped[Real] = mapped_column(server_default="1")
    retired: Mapped[bool] = mapped_column(Boolean, server_default=false())


class RepeatRow(Base):
    """What a later session of measuring said of an architecture that was measured before."""

    __tablename__ = "repeats"
    __table_args__ = (Unique("target", "digest", "session"),)

    number: Mapped[Number]
    target: Mapped[OfTarget]
    digest: Mapped[Code]
    session: Mapped[Code]
    latency_ms: Mapped[Real]
    error_ms: Mapped[Real]
    measured_at: Mapped[Real]


class ForgottenRow(Base):
    """An entry of the journal of measurements that somebody had the store forget."""

    __tablename__ = "forgotten"

    number: Mapped[Number]
    target: Mapped[OfTarget]
    digest: Mapped[Code]
    latency_ms: Mapped[Real]
    measured_at: Mapped[Real]
    forgotten_at: Mapped[Real]
    by: Mapped[Prosaic]
    why: Mapped[Prosaic]


class FileRow(Base):
    """The checksum of a file that other rows refer to."""

    __tablename__ = "files"

    path: Mapped[str] = mapped_column(Prose, primary_key=True)
    sha256: Mapped[Code]


class EvaluationRow(Base):
    """What a supernet scored for an architecture; no value where it failed.

    An index in the order of numbers would save a sort of what is read anyway. But PostgreSQL, until it has
    counted the values of a table that has just grown, takes it for as good a way to a hundred digests, and
    reads every evaluation of the supernet.
    """

    __tablename__ = "evaluations"
    __table_args__ = (Unique("supernet", "split", "share", "digest"),)

    number: Mapped[Number]
    supernet: Mapped[Code]
    split: Mapped[Code]
    share: Mapped[Real]
    digest: Mapped[Code]
    value: Mapped[float | None] = mapped_column(Double)
    seconds: Mapped[Real]
    sequences: Mapped[Any | None] = mapped_column(Json)


class SupernetRow(Base):
    """A trained supernet."""

    __tablename__ = "supernets"

    digest: Mapped[Code] = mapped_column(primary_key=True)
    space: Mapped[Prosaic]
    task: Mapped[Prosaic]
    seed: Mapped[Whole]
    steps: Mapped[Whole]
    tokens_per_second: Mapped[Real]
    path: Mapped[Prosaic]


class ObjectiveRow(Base):
    """A kind of objective, on a target or (with the empty text) on all alike; kept once."""

    __tablename__ = "objectives"
    __table_args__ = (Unique("kind", "target"),)

    number: Mapped[Number]
    kind: Mapped[Code]
    target: Mapped[Code]


class PredictorRow(Base):
    """What a predictor has learned of an objective in a space."""

    __tablename__ = "predictors"

    objective: Mapped[OfObjective] = mapped_column(primary_key=True)
    space: Mapped[Code] = mapped_column(primary_key=True)
    state: Mapped[Data]


_PRESET = text("preset IS NOT NULL")


class PointRow(Base):
    """A candidate of a job. `ix_points_job_on_front_number` is what keeps a front's query short, and that of
    the presets, which are few, finds those."""

    __tablename__ = "points"
    __table_args__ = (
        Unique("job", "digest"),
        Index(None, "job", "number"),
        Index(None, "job", "on_front", "number"),
        Index("ix_points_presets", "job", "number", sqlite_where=_PRESET, postgresql_where=_PRESET),
    )

    number: Mapped[Number]
    job: Mapped[OfJob]
    digest: Mapped[str] = mapped_column(_CODE, ForeignKey("architectures.digest"))
    validation: Mapped[float | None] = mapped_column(Double)
    test: Mapped[float | None] = mapped_column(Double)
    preset: Mapped[str | None] = mapped_column(Prose)
    on_front: Mapped[bool] = mapped_column(Boolean)
    tuned_weights: Mapped[str | None] = mapped_column(_CODE)
    tuned_steps: Mapped[int | None] = mapped_column(BigInteger)
    tuned_validation: Mapped[float | None] = mapped_column(Double)
    tuned_test: Mapped[float | None] = mapped_column(Double)


class PointValueRow(Base):
    """What is known of a point in one objective; of a count `predicted` alone."""

    __tablename__ = "point_values"
    __table_args__ = ({"sqlite_with_rowid": False},)

    point: Mapped[int] = mapped_column(_WHOLE, ForeignKey("points.number"), primary_key=True)
    objective: Mapped[OfObjective] = mapped_column(primary_key=True)
    predicted: Mapped[Real]
    predicted_std: Mapped[float | None] = mapped_column(Double)
    measured: Mapped[float | None] = mapped_column(Double)
    measured_std: Mapped[float | None] = mapped_column(Double)
    slowdown: Mapped[Real] = mapped_column(server_default="1")


class ExtentRow(Base):
    """The lowest and the highest value that a job's points ever had of an objective."""

    __tablename__ = "extents"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job: Mapped[OfJob] = mapped_column(primary_key=True)
    objective: Mapped[OfObjective] = mapped_column(primary_key=True)
    lowest: Mapped[Real]
    highest: Mapped[Real]
