"""A store on SQLite or PostgreSQL."""

from __future__ import annotations

import difflib
import math
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase

from nas.errors import NoSuchJob
from nas.evaluation import Evaluation, Split
from nas.front import Latency, Point
from nas.job import Event, EventKind, Job, JobSpec, JobStatus, StageName
from nas.store.database import Database
from nas.store.store import UNFINISHED, Store, SupernetRecord
from nas.store.tables import (
    ArchitectureRow,
    EvaluationRow,
    EventRow,
    JobRow,
    JobStateRow,
    MeasurementRow,
    PointLatencyRow,
    PointRow,
    PredictorRow,
    SupernetRow,
)
from searchspaces.architecture import Architecture
from workers.measurement import Measurement
from workers.target import Target

__all__ = ["SqlStore"]

VARIABLES = 5000
"""Values in one IN list: databases limit them."""


class SqlStore(Store):
    """See `Store`; one transaction a method.

    Args:
        url: SQLAlchemy's, ``sqlite:///PATH`` or ``postgresql+psycopg://…``.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[self._database.dialect]

    # Jobs
    def create_job(self, spec: JobSpec, *, key: str | None = None, owner: str = "") -> Job:
        """See `Store.create_job`."""
        now = time.time()
        with self._database.write() as connection:
            self._database.serialise(connection)
            if key is not None:
                made = connection.execute(select(JobRow.__table__).where(JobRow.key == key)).one_or_none()
                if made is not None:
                    return _job(made)
            serial = (connection.scalar(select(func.max(JobRow.serial))) or 0) + 1
            job = Job(
                f"{spec.name}-{secrets.token_hex(3)}",
                spec,
                JobStatus.QUEUED,
                StageName.PROFILE,
                None,
                now,
                now,
            )
            connection.execute(
                insert(JobRow).values(
                    id=job.id,
                    serial=serial,
                    spec=spec.model_dump(mode="json"),
                    status=job.status,
                    stage=job.stage,
                    created_at=now,
                    updated_at=now,
                    owner=owner,
                    key=key,
                )
            )
        return job

    def job(self, job_id: str) -> Job:
        """See `Store.job`."""
        with self._database.read() as connection:
            row = connection.execute(select(JobRow.__table__).where(JobRow.id == job_id)).one_or_none()
            if row is not None:
                return _job(row)
            query = select(JobRow.__table__).where(JobRow.id.startswith(job_id, autoescape=True)).limit(2)
            rows = connection.execute(query).all() if job_id else []
            if len(rows) == 1:
                return _job(rows[0])
            if rows:
                raise NoSuchJob(f"several jobs begin with {job_id!r}; give more of the id")
            ids = connection.scalars(select(JobRow.id).order_by(JobRow.serial.desc()).limit(1000)).all()
        near = difflib.get_close_matches(job_id, ids, n=3) or list(ids[:3])
        raise NoSuchJob(
            f"no job {job_id!r}; " + (f"near ones: {', '.join(near)}" if near else "there are none yet")
        )

    def jobs(self, limit: int | None = None, before: str | None = None) -> list[Job]:
        """See `Store.jobs`."""
        query = select(JobRow.__table__).order_by(JobRow.serial.desc()).limit(limit)
        if before is not None:
            last = select(JobRow.serial).where(JobRow.id == self.job(before).id).scalar_subquery()
            query = query.where(JobRow.serial < last)
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(query)]

    def runnable(self, limit: int) -> list[Job]:
        """See `Store.runnable`."""
        free = or_(JobRow.lease_owner.is_(None), JobRow.lease_until < time.time())
        query = select(JobRow.__table__).where(JobRow.status.in_(UNFINISHED), free)
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(query.order_by(JobRow.serial).limit(limit))]

    def unfinished(self, owner: str) -> int:
        """See `Store.unfinished`."""
        query = select(func.count()).where(JobRow.owner == owner, JobRow.status.in_(UNFINISHED))
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def set_job(
        self, job_id: str, status: JobStatus, stage: StageName | None, error: str | None = None
    ) -> None:
        """See `Store.set_job`."""
        values = {"status": status, "stage": stage, "error": error, "updated_at": time.time()}
        with self._database.write() as connection:
            connection.execute(update(JobRow).where(JobRow.id == job_id).values(values))

    def claim(self, job_id: str, owner: str, seconds: float) -> bool:
        """See `Store.claim`."""
        now = time.time()
        free = or_(JobRow.lease_owner.is_(None), JobRow.lease_owner == owner, JobRow.lease_until < now)
        values = {"lease_owner": owner, "lease_until": now + seconds}
        with self._database.write() as connection:
            result = connection.execute(update(JobRow).where(JobRow.id == job_id, free).values(values))
            return result.rowcount == 1

    def release(self, job_id: str, owner: str) -> None:
        """See `Store.release`."""
        mine = update(JobRow).where(JobRow.id == job_id, JobRow.lease_owner == owner)
        with self._database.write() as connection:
            connection.execute(mine.values(lease_owner=None, lease_until=None))

    def lease_owner(self, job_id: str) -> str | None:
        """See `Store.lease_owner`."""
        query = select(JobRow.lease_owner).where(JobRow.id == job_id, JobRow.lease_until >= time.time())
        with self._database.read() as connection:
            return connection.scalar(query)

    # Events
    def append_event(self, job_id: str, event: Event) -> Event:
        """See `Store.append_event`."""
        with self._database.write() as connection:
            # The job's row is locked first (PostgreSQL), so that two writers number their events in turn.
            connection.execute(select(JobRow.id).where(JobRow.id == job_id).with_for_update())
            last = connection.scalar(select(func.max(EventRow.sequence)).where(EventRow.job_id == job_id))
            stored = replace(event, sequence=(last or 0) + 1, time=time.time())
            connection.execute(
                insert(EventRow).values(
                    job_id=job_id,
                    sequence=stored.sequence,
                    time=stored.time,
                    kind=stored.kind,
                    stage=stored.stage,
                    message=stored.message,
                    done=stored.done,
                    total=stored.total,
                    data=dict(stored.data),
                )
            )
        return stored

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """See `Store.events`."""
        query = select(EventRow.__table__).where(EventRow.job_id == job_id, EventRow.sequence > after)
        with self._database.read() as connection:
            return [_event(row) for row in connection.execute(query.order_by(EventRow.sequence).limit(limit))]

    # Things that cost time
    def put_architectures(self, architectures: Iterable[Architecture]) -> None:
        """See `Store.put_architectures`."""
        rows = [{"digest": a.digest, "content": a.to_dict()} for a in architectures]
        with self._database.write() as connection:
            self._insert_new(connection, ArchitectureRow, rows)

    def architectures(self, digests: Iterable[str]) -> dict[str, Architecture]:
        """See `Store.architectures`."""
        wanted = list(digests)
        found: dict[str, Architecture] = {}
        with self._database.read() as connection:
            for some in _batches(wanted):
                query = select(ArchitectureRow.digest, ArchitectureRow.content)
                for digest, content in connection.execute(query.where(ArchitectureRow.digest.in_(some))):
                    found[digest] = Architecture.from_dict(content)
        return {digest: found[digest] for digest in wanted if digest in found}

    def add_measurement(self, measurement: Measurement) -> bool:
        """See `Store.add_measurement`."""
        values = asdict(measurement) | {"target": str(measurement.target), "measured_at": time.time()}
        with self._database.write() as connection:
            return self._insert_new(connection, MeasurementRow, [values]) == 1

    def measurements(self, target: Target, digests: Iterable[str] | None = None) -> list[Measurement]:
        """See `Store.measurements`."""
        query = select(MeasurementRow.__table__).where(MeasurementRow.target == str(target))
        with self._database.read() as connection:
            rows = list(_with_digests(connection, query, MeasurementRow, digests))
        return [_measurement(row, target) for row in rows]

    def targets(self) -> list[Target]:
        """See `Store.targets`."""
        with self._database.read() as connection:
            names = connection.scalars(
                select(MeasurementRow.target).distinct().order_by(MeasurementRow.target)
            )
            return [Target.parse(name) for name in names]

    def add_evaluations(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Store.add_evaluations`."""
        rows = [
            {
                "supernet": e.supernet,
                "digest": e.digest,
                "split": e.split,
                "value": None if math.isnan(e.value) else e.value,
                "seconds": e.seconds,
            }
            for e in evaluations
        ]
        with self._database.write() as connection:
            self._insert_new(connection, EvaluationRow, rows)

    def evaluations(
        self, supernet: str, split: Split, digests: Iterable[str] | None = None
    ) -> list[Evaluation]:
        """See `Store.evaluations`."""
        query = select(EvaluationRow.__table__).where(
            EvaluationRow.supernet == supernet, EvaluationRow.split == split
        )
        with self._database.read() as connection:
            rows = list(_with_digests(connection, query, EvaluationRow, digests))
        return [
            Evaluation(
                r.supernet, r.digest, Split(r.split), math.nan if r.value is None else r.value, r.seconds
            )
            for r in rows
        ]

    def put_supernet(self, record: SupernetRecord) -> None:
        """See `Store.put_supernet`."""
        with self._database.write() as connection:
            connection.execute(delete(SupernetRow).where(SupernetRow.digest == record.digest))
            connection.execute(insert(SupernetRow).values(asdict(record)))

    def supernet(self, digest: str) -> SupernetRecord | None:
        """See `Store.supernet`."""
        with self._database.read() as connection:
            row = connection.execute(
                select(SupernetRow.__table__).where(SupernetRow.digest == digest)
            ).one_or_none()
        return None if row is None else SupernetRecord(**row._mapping)

    def put_predictor(self, target: Target, space: str, state: Mapping[str, Any]) -> None:
        """See `Store.put_predictor`."""
        with self._database.write() as connection:
            connection.execute(
                insert(PredictorRow).values(target=str(target), space=space, state=dict(state))
            )

    def predictor(self, target: Target, space: str) -> dict[str, Any] | None:
        """See `Store.predictor`."""
        query = select(PredictorRow.state).where(
            PredictorRow.target == str(target), PredictorRow.space == space
        )
        with self._database.read() as connection:
            return connection.scalar(query.order_by(PredictorRow.id.desc()).limit(1))

    # What a job itself must remember
    def put_state(self, job_id: str, name: str, state: Mapping[str, Any]) -> None:
        """See `Store.put_state`."""
        mine = (JobStateRow.job_id == job_id, JobStateRow.name == name)
        with self._database.write() as connection:
            connection.execute(delete(JobStateRow).where(*mine))
            connection.execute(insert(JobStateRow).values(job_id=job_id, name=name, state=dict(state)))

    def state(self, job_id: str, name: str) -> dict[str, Any] | None:
        """See `Store.state`."""
        query = select(JobStateRow.state).where(JobStateRow.job_id == job_id, JobStateRow.name == name)
        with self._database.read() as connection:
            return connection.scalar(query)

    def put_points(self, job_id: str, points: Sequence[Point]) -> None:
        """See `Store.put_points`."""
        digests = [point.digest for point in points]
        with self._database.write() as connection:
            for table in (PointLatencyRow, PointRow):
                for some in _batches(digests):
                    connection.execute(delete(table).where(table.job_id == job_id, table.digest.in_(some)))
            latencies = [
                {"job_id": job_id, "digest": point.digest, "target": target, **asdict(latency)}
                for point in points
                for target, latency in point.latency_ms.items()
            ]
            if points:
                connection.execute(insert(PointRow), [_point_values(job_id, point) for point in points])
            if latencies:
                connection.execute(insert(PointLatencyRow), latencies)

    def points(self, job_id: str, on_front: bool | None = None) -> list[Point]:
        """See `Store.points`."""
        wanted = [PointRow.job_id == job_id] + ([] if on_front is None else [PointRow.on_front == on_front])
        joined = (PointLatencyRow.job_id == PointRow.job_id) & (PointLatencyRow.digest == PointRow.digest)
        with self._database.read() as connection:
            points = connection.execute(
                select(PointRow.__table__).where(*wanted).order_by(PointRow.digest)
            ).all()
            latencies: dict[str, dict[str, Latency]] = {}
            query = select(PointLatencyRow.__table__).join(PointRow.__table__, joined).where(*wanted)
            for row in connection.execute(query.order_by(PointLatencyRow.target)):
                latencies.setdefault(row.digest, {})[row.target] = Latency(
                    row.predicted, row.predicted_std, row.measured, row.measured_std
                )
        return [_point(row, latencies.get(row.digest, {})) for row in points]

    def close(self) -> None:
        """See `Store.close`."""
        self._database.close()

    def _insert_new(
        self, connection: Connection, table: type[DeclarativeBase], rows: list[dict[str, Any]]
    ) -> int:
        """Insert those rows whose key is not there yet; returns how many of a single row (0 or 1)."""
        if not rows:
            return 0
        result = connection.execute(self._insert(table).on_conflict_do_nothing(), rows)
        return int(result.rowcount)


def _batches(digests: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(digests)
    while some := list(islice(remaining, VARIABLES)):
        yield some


def _with_digests(
    connection: Connection, query: Any, table: type[Any], digests: Iterable[str] | None
) -> Iterator[Row[Any]]:
    """Rows of the query, of those digests only where they are given, in order of arrival."""
    if digests is None:
        yield from connection.execute(query.order_by(table.id))
        return
    rows = [
        row
        for some in _batches(dict.fromkeys(digests))
        for row in connection.execute(query.where(table.digest.in_(some)))
    ]
    yield from sorted(rows, key=lambda row: row.id)


def _job(row: Row[Any]) -> Job:
    stage = None if row.stage is None else StageName(row.stage)
    spec = JobSpec.model_validate(row.spec)
    return Job(row.id, spec, JobStatus(row.status), stage, row.error, row.created_at, row.updated_at)


def _event(row: Row[Any]) -> Event:
    stage = None if row.stage is None else StageName(row.stage)
    kind = EventKind(row.kind)
    return Event(kind, stage, row.message, row.done, row.total, row.data, row.sequence, row.time)


def _measurement(row: Row[Any], target: Target) -> Measurement:
    values = {name: value for name, value in row._mapping.items() if name != "id"}
    return Measurement(**{**values, "target": target})


def _point_values(job_id: str, point: Point) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "digest": point.digest,
        "architecture": point.architecture.to_dict(),
        "validation": point.validation,
        "test": point.test,
        "parameters": point.parameters,
        "macs": point.macs,
        "state_bytes": point.state_bytes,
        "preset": point.preset,
        "on_front": point.on_front,
    }


def _point(row: Row[Any], latencies: Mapping[str, Latency]) -> Point:
    values = {name: value for name, value in row._mapping.items() if name != "job_id"}
    return Point(
        **{**values, "architecture": Architecture.from_dict(row.architecture), "latency_ms": latencies}
    )
