"""Tables: what is asked for by value is a typed column; JSON holds only what is read back whole."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "ArchitectureRow",
    "Base",
    "EvaluationRow",
    "EventRow",
    "JobRow",
    "JobStateRow",
    "MeasurementRow",
    "PointLatencyRow",
    "PointRow",
    "PredictorRow",
    "SupernetRow",
]

Digest = String(64)
Name = String(255)
Serial = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Constraint names are fixed, so that migrations can refer to them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, float: Float(53)}  # noqa: RUF012 (SQLAlchemy reads it so)


class JobRow(Base):
    """A job, and the lease of the process that runs it."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(Name, primary_key=True)
    serial: Mapped[int] = mapped_column(Serial, unique=True)
    spec: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16), index=True)
    stage: Mapped[str | None] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]
    updated_at: Mapped[float]
    lease_owner: Mapped[str | None] = mapped_column(Name)
    lease_until: Mapped[float | None]


class EventRow(Base):
    """One event of a job; numbered from 1."""

    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    time: Mapped[float]
    kind: Mapped[str] = mapped_column(String(16))
    stage: Mapped[str | None] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(Text)
    done: Mapped[float]
    total: Mapped[float]
    data: Mapped[dict[str, Any]]


class ArchitectureRow(Base):
    """An architecture by digest."""

    __tablename__ = "architectures"
    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    content: Mapped[dict[str, Any]]


class MeasurementRow(Base):
    """One measurement; see `workers.measurement.Measurement`. `id` is the order of arrival."""

    __tablename__ = "measurements"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    digest: Mapped[str] = mapped_column(Digest)
    target: Mapped[str] = mapped_column(Name)
    latency_ms: Mapped[float]
    spread_ms: Mapped[float]
    error_ms: Mapped[float]
    wall_ms: Mapped[float]
    reference_ms: Mapped[float]
    drift: Mapped[float]
    peak_memory_bytes: Mapped[int] = mapped_column(BigInteger)
    repeats: Mapped[int]
    rejected: Mapped[int]
    noisy: Mapped[bool]
    measured_at: Mapped[float]
    __table_args__ = (
        Index("uq_measurements_target_digest", "target", "digest", unique=True),
        Index("ix_measurements_target_id", "target", "id"),
    )


class SupernetRow(Base):
    """A trained supernet; see `nas.store.store.SupernetRecord`."""

    __tablename__ = "supernets"
    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    space: Mapped[str] = mapped_column(Digest)
    task: Mapped[str] = mapped_column(Digest)
    seed: Mapped[int] = mapped_column(BigInteger)
    steps: Mapped[int]
    tokens_per_second: Mapped[float]
    path: Mapped[str] = mapped_column(Text)


class EvaluationRow(Base):
    """One evaluation; a failed one (NaN) has no value. `id` is the order of arrival."""

    __tablename__ = "evaluations"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    supernet: Mapped[str] = mapped_column(Digest)
    digest: Mapped[str] = mapped_column(Digest)
    split: Mapped[str] = mapped_column(String(16))
    value: Mapped[float | None]
    seconds: Mapped[float]
    __table_args__ = (
        Index("uq_evaluations_supernet_split_digest", "supernet", "split", "digest", unique=True),
        Index("ix_evaluations_supernet_split_id", "supernet", "split", "id"),
    )


class PredictorRow(Base):
    """A version of a predictor; the highest id is the newest."""

    __tablename__ = "predictors"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    target: Mapped[str] = mapped_column(Name)
    space: Mapped[str] = mapped_column(Digest)
    state: Mapped[dict[str, Any]]
    __table_args__ = (Index("ix_predictors_target_space_id", "target", "space", "id"),)


class JobStateRow(Base):
    """A named piece of plain data of a job."""

    __tablename__ = "job_states"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Name, primary_key=True)
    state: Mapped[dict[str, Any]]


class PointRow(Base):
    """A point of a job; see `nas.front.Point`."""

    __tablename__ = "points"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    architecture: Mapped[dict[str, Any]]
    validation: Mapped[float | None]
    test: Mapped[float | None]
    parameters: Mapped[int] = mapped_column(BigInteger)
    macs: Mapped[int] = mapped_column(BigInteger)
    state_bytes: Mapped[int] = mapped_column(BigInteger)
    preset: Mapped[str | None] = mapped_column(Name)
    on_front: Mapped[bool]
    __table_args__ = (Index("ix_points_job_id_on_front", "job_id", "on_front"),)


class PointLatencyRow(Base):
    """A point's latency on one target; see `nas.front.Latency`."""

    __tablename__ = "point_latencies"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    target: Mapped[str] = mapped_column(Name, primary_key=True)
    predicted: Mapped[float]
    predicted_std: Mapped[float]
    measured: Mapped[float | None]
    measured_std: Mapped[float | None]
