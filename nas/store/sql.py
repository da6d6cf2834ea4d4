"""The store on SQLite or PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select, update
from sqlalchemy.engine import URL
from sqlalchemy.orm import InstrumentedAttribute

from nas.errors import NoSuchJob
from nas.evaluation import Evaluation, Split
from nas.front import Latency, Point
from nas.job import Event, Job, JobSpec, JobStatus, StageName
from nas.store import rows
from nas.store.database import Database
from nas.store.identity import SHOWN, is_beginning, new_job_id, no_such_job, too_many_jobs
from nas.store.store import UNFINISHED, Store, SupernetRecord
from nas.store.tables import (
    ArchitectureRow,
    EvaluationRow,
    EventRow,
    JobRow,
    LatencyRow,
    MeasurementRow,
    PointRow,
    PredictorRow,
    StateRow,
    SupernetRow,
    TargetRow,
)
from searchspaces.architecture import Architecture
from workers.measurement import Measurement
from workers.target import Target

__all__ = ["SqlStore"]

CHUNK = 5000
"""Values that one statement names at most; databases limit them."""

LAST_CHARACTER = "\U0010ffff"


class SqlStore(Store):
    """See `Store`.

    Args:
        url: of the database.
        patience: seconds to wait for a lock before `StoreUnavailable`.
    """

    def __init__(self, url: URL, patience: float = 10.0) -> None:
        self._database = Database(url, patience)

    def close(self) -> None:
        """See `Store.close`."""
        self._database.close()

    # Jobs
    def create_job(
        self, spec: JobSpec, *, key: str | None = None, owner: str = "", most: int | None = None
    ) -> Job:
        """See `Store.create_job`."""
        now = time.time()
        with self._database.write() as connection:
            # Two submissions at once would see neither each other's key nor count each other.
            self._database.lock(connection, JobRow)
            submitted = select(JobRow.__table__).where(JobRow.owner == owner, JobRow.key == key)
            earlier = None if key is None else connection.execute(submitted).one_or_none()
            if earlier is not None:
                return rows.job_from(earlier)
            if most is not None and connection.execute(_unfinished(owner)).scalar_one() >= most:
                raise too_many_jobs(owner, most)
            job_id = new_job_id(spec)
            while connection.execute(select(JobRow.id).where(JobRow.id == job_id)).first() is not None:
                job_id = new_job_id(spec)
            row = {
                "id": job_id,
                "owner": owner,
                "key": key,
                "spec": spec.model_dump_json(),
                "status": str(JobStatus.QUEUED),
                "stage": str(StageName.PROFILE),
                "created_at": now,
                "updated_at": now,
                "last_event": 0,
            }
            return rows.job_from(connection.execute(insert(JobRow).returning(JobRow.__table__), row).one())

    def job(self, job_id: str) -> Job:
        """See `Store.job`."""
        with self._database.read() as connection:
            return rows.job_from(self._find(connection, job_id))

    def jobs(self, limit: int | None = None, before: str | None = None) -> list[Job]:
        """See `Store.jobs`."""
        query = select(JobRow.__table__).order_by(JobRow.number.desc()).limit(limit)
        with self._database.read() as connection:
            if before is not None:
                query = query.where(JobRow.number < self._find(connection, before).number)
            return [rows.job_from(row) for row in connection.execute(query)]

    def runnable(self, limit: int) -> list[Job]:
        """See `Store.runnable`."""
        now = self._database.clock(time.time())
        free = or_(JobRow.holder.is_(None), JobRow.held_until <= now)
        query = select(JobRow.__table__).where(JobRow.status.in_(UNFINISHED), free)
        with self._database.read() as connection:
            return [
                rows.job_from(row) for row in connection.execute(query.order_by(JobRow.number).limit(limit))
            ]

    def unfinished(self, owner: str) -> int:
        """See `Store.unfinished`."""
        with self._database.read() as connection:
            return connection.execute(_unfinished(owner)).scalar_one()

    def set_job(
        self, job_id: str, status: JobStatus, stage: StageName | None, error: str | None = None
    ) -> None:
        """See `Store.set_job`."""
        values = {
            "status": str(status),
            "stage": None if stage is None else str(stage),
            "error": error,
            "updated_at": time.time(),
        }
        with self._writing(job_id) as (connection, number):
            connection.execute(update(JobRow).where(JobRow.number == number).values(values))

    def claim(self, job_id: str, owner: str, seconds: float) -> bool:
        """See `Store.claim`."""
        now = self._database.clock(time.time())
        free = or_(JobRow.holder.is_(None), JobRow.holder == owner, JobRow.held_until <= now)
        with self._writing(job_id) as (connection, number):
            claim = update(JobRow).where(JobRow.number == number, free)
            return connection.execute(claim.values(holder=owner, held_until=now + seconds)).rowcount == 1

    def release(self, job_id: str, owner: str) -> None:
        """See `Store.release`."""
        with self._writing(job_id) as (connection, number):
            held = update(JobRow).where(JobRow.number == number, JobRow.holder == owner)
            connection.execute(held.values(holder=None, held_until=None))

    def lease_owner(self, job_id: str) -> str | None:
        """See `Store.lease_owner`."""
        now = self._database.clock(time.time())
        with self._reading(job_id) as (connection, number):
            query = select(JobRow.holder).where(JobRow.number == number, JobRow.held_until > now)
            return connection.execute(query).scalar_one_or_none()

    # Events
    def append_event(self, job_id: str, event: Event) -> Event:
        """See `Store.append_event`."""
        with self._writing(job_id) as (connection, number):
            count = update(JobRow).where(JobRow.number == number).values(last_event=JobRow.last_event + 1)
            sequence = connection.execute(count.returning(JobRow.last_event)).scalar_one()
            row = {**rows.event_row(event), "sequence": sequence, "time": time.time(), "job": number}
            connection.execute(insert(EventRow), row)
            mine = (EventRow.job == number) & (EventRow.sequence == sequence)
            return rows.event_from(connection.execute(select(EventRow.__table__).where(mine)).one())

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """See `Store.events`."""
        with self._reading(job_id) as (connection, number):
            query = select(EventRow.__table__).where(EventRow.job == number, EventRow.sequence > after)
            found = connection.execute(query.order_by(EventRow.sequence).limit(limit))
            return [rows.event_from(row) for row in found]

    # Things that cost time
    def put_architectures(self, architectures: Iterable[Architecture]) -> None:
        """See `Store.put_architectures`."""
        with self._database.write() as connection:
            self._put_architectures(connection, {a.digest: a for a in architectures})

    def architectures(self, digests: Iterable[str]) -> dict[str, Architecture]:
        """See `Store.architectures`."""
        wanted = list(digests)
        query = select(ArchitectureRow.__table__)
        with self._database.read() as connection:
            found = _of_digests(connection, query, ArchitectureRow.digest, wanted)
        known = {row.digest: Architecture.from_dict(row.architecture) for row in found}
        return {digest: known[digest] for digest in wanted if digest in known}

    def add_measurement(self, measurement: Measurement) -> bool:
        """See `Store.add_measurement`."""
        add = self._database.insert(MeasurementRow).on_conflict_do_nothing(
            index_elements=["target", "digest"]
        )
        with self._database.write() as connection:
            target = self._targets(connection, [str(measurement.target)])[str(measurement.target)]
            row = {**rows.measurement_row(measurement), "target": target, "measured_at": time.time()}
            added = connection.execute(add.returning(MeasurementRow.number), row)
            return added.scalar_one_or_none() is not None

    def measurements(self, target: Target, digests: Iterable[str] | None = None) -> list[Measurement]:
        """See `Store.measurements`."""
        number = select(TargetRow.number).where(TargetRow.text == str(target)).scalar_subquery()
        query = select(MeasurementRow.__table__).where(MeasurementRow.target == number)
        with self._database.read() as connection:
            found = _of_digests(
                connection, query, MeasurementRow.digest, digests, in_order_of=MeasurementRow.number
            )
        return [rows.measurement_from(row, target) for row in found]

    def targets(self) -> list[Target]:
        """See `Store.targets`."""
        measured = select(MeasurementRow.number).where(MeasurementRow.target == TargetRow.number).exists()
        query = select(TargetRow.text).where(measured).order_by(TargetRow.text)
        with self._database.read() as connection:
            return [Target.parse(text) for text in connection.execute(query).scalars()]

    def add_evaluations(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Store.add_evaluations`."""
        if not evaluations:
            return
        add = self._database.insert(EvaluationRow).on_conflict_do_nothing(
            index_elements=["supernet", "split", "digest"]
        )
        with self._database.write() as connection:
            # Two batches that share evaluations, in other orders, would wait for each other.
            self._database.lock(connection, EvaluationRow)
            connection.execute(add, [rows.evaluation_row(evaluation) for evaluation in evaluations])

    def evaluations(
        self, supernet: str, split: Split, digests: Iterable[str] | None = None
    ) -> list[Evaluation]:
        """See `Store.evaluations`."""
        query = select(EvaluationRow.digest, EvaluationRow.value, EvaluationRow.seconds, EvaluationRow.number)
        query = query.where(EvaluationRow.supernet == supernet, EvaluationRow.split == str(split))
        with self._database.read() as connection:
            found = _of_digests(
                connection, query, EvaluationRow.digest, digests, in_order_of=EvaluationRow.number
            )
        return [rows.evaluation_from(row, supernet, split) for row in found]

    def put_supernet(self, record: SupernetRecord) -> None:
        """See `Store.put_supernet`."""
        with self._database.write() as connection:
            self._put(connection, SupernetRow, ["digest"], [rows.supernet_row(record)])

    def supernet(self, digest: str) -> SupernetRecord | None:
        """See `Store.supernet`."""
        with self._database.read() as connection:
            query = select(SupernetRow.__table__).where(SupernetRow.digest == digest)
            row = connection.execute(query).one_or_none()
        return None if row is None else rows.supernet_from(row)

    def put_predictor(self, target: Target, space: str, state: Mapping[str, Any]) -> None:
        """See `Store.put_predictor`."""
        with self._database.write() as connection:
            number = self._targets(connection, [str(target)])[str(target)]
            row = {"target": number, "space": space, "state": dict(state)}
            self._put(connection, PredictorRow, ["target", "space"], [row])

    def predictor(self, target: Target, space: str) -> dict[str, Any] | None:
        """See `Store.predictor`."""
        query = select(PredictorRow.state).join(TargetRow, TargetRow.number == PredictorRow.target)
        query = query.where(TargetRow.text == str(target), PredictorRow.space == space)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    # What a job itself must remember
    def put_state(self, job_id: str, name: str, state: Mapping[str, Any]) -> None:
        """See `Store.put_state`."""
        with self._writing(job_id) as (connection, number):
            row = {"job": number, "name": name, "state": dict(state)}
            self._put(connection, StateRow, ["job", "name"], [row])

    def state(self, job_id: str, name: str) -> dict[str, Any] | None:
        """See `Store.state`."""
        with self._reading(job_id) as (connection, number):
            query = select(StateRow.state).where(StateRow.job == number, StateRow.name == name)
            return connection.execute(query).scalar_one_or_none()

    def put_points(self, job_id: str, points: Sequence[Point]) -> None:
        """See `Store.put_points`."""
        by_digest = {point.digest: point for point in points}
        if not by_digest:
            return
        with self._writing(job_id) as (connection, job):
            texts = {target for point in by_digest.values() for target in point.latency_ms}
            target_numbers = self._targets(connection, texts)
            self._put_architectures(connection, {d: point.architecture for d, point in by_digest.items()})
            point_rows = [{**rows.point_row(point), "job": job} for point in by_digest.values()]
            self._put(connection, PointRow, ["job", "digest"], point_rows)
            mine = select(PointRow.number, PointRow.digest).where(PointRow.job == job)
            stored = _of_digests(connection, mine, PointRow.digest, by_digest)
            for chunk in _chunks([row.number for row in stored]):
                connection.execute(delete(LatencyRow).where(LatencyRow.point.in_(chunk)))
            latency_rows = [
                {**rows.latency_row(latency), "point": row.number, "target": target_numbers[target]}
                for row in stored
                for target, latency in by_digest[row.digest].latency_ms.items()
            ]
            if latency_rows:
                connection.execute(insert(LatencyRow), latency_rows)

    def points(self, job_id: str, on_front: bool | None = None) -> list[Point]:
        """See `Store.points`."""
        with self._reading(job_id) as (connection, job):
            chosen = PointRow.job == job
            if on_front is not None:
                chosen &= PointRow.on_front == on_front
            query = select(PointRow.__table__, ArchitectureRow.architecture).where(chosen)
            query = query.join(ArchitectureRow, ArchitectureRow.digest == PointRow.digest)
            found = connection.execute(query.order_by(PointRow.number)).all()
            timed = select(LatencyRow.__table__, TargetRow.text).where(chosen)
            timed = timed.join(PointRow, PointRow.number == LatencyRow.point)
            timed = timed.join(TargetRow, TargetRow.number == LatencyRow.target)
            latencies: dict[int, dict[str, Latency]] = {row.number: {} for row in found}
            for row in connection.execute(timed):
                latencies[row.point][row.text] = rows.latency_from(row)
        return [rows.point_from(row, latencies[row.number]) for row in found]

    # Within a transaction
    @contextmanager
    def _reading(self, job_id: str) -> Iterator[tuple[Connection, int]]:
        with self._database.read() as connection:
            yield connection, self._number(connection, job_id)

    @contextmanager
    def _writing(self, job_id: str) -> Iterator[tuple[Connection, int]]:
        with self._database.write() as connection:
            yield connection, self._number(connection, job_id)

    def _find(self, connection: Connection, beginning: str) -> Row[Any]:
        """The row of the job whose id begins so."""
        found: Sequence[Row[Any]] = ()
        if is_beginning(beginning):
            # A range of the index; LIKE would read every job.
            begins_so = (JobRow.id >= beginning) & (JobRow.id <= beginning + LAST_CHARACTER)
            query = select(JobRow.__table__).where(begins_so)
            found = connection.execute(query.order_by(JobRow.id).limit(SHOWN + 1)).all()
        # In order of ids, one that is named in full comes first.
        if len(found) == 1 or (found and found[0].id == beginning):
            return found[0]
        raise self._no_such_job(connection, beginning, [row.id for row in found])

    def _number(self, connection: Connection, job_id: str) -> int:
        """Of the job of that id in full."""
        query = select(JobRow.number).where(JobRow.id == job_id)
        number = connection.execute(query).scalar_one_or_none() if is_beginning(job_id) else None
        if number is None:
            raise self._no_such_job(connection, job_id, [])
        return number

    def _no_such_job(self, connection: Connection, job_id: str, matching: Sequence[str]) -> NoSuchJob:
        newest = select(JobRow.id).order_by(JobRow.number.desc()).limit(1000)
        return no_such_job(job_id, matching, connection.execute(newest).scalars().all())

    def _put(
        self,
        connection: Connection,
        table: type[PointRow | PredictorRow | StateRow | SupernetRow],
        key: list[str],
        new: list[dict[str, Any]],
    ) -> None:
        """Insert rows, or replace what those of the same key hold; their number stays."""
        put = self._database.insert(table)
        replaced = {name: put.excluded[name] for name in new[0] if name not in key}
        connection.execute(put.on_conflict_do_update(index_elements=key, set_=replaced), new)

    def _put_architectures(self, connection: Connection, architectures: Mapping[str, Architecture]) -> None:
        # In one order everywhere: two transactions that share some never wait for each other.
        new = [{"digest": d, "architecture": a.to_dict()} for d, a in sorted(architectures.items())]
        if new:
            connection.execute(self._database.insert(ArchitectureRow).on_conflict_do_nothing(), new)

    def _targets(self, connection: Connection, texts: Iterable[str]) -> dict[str, int]:
        """Number of each target, which is given one where it has none."""
        wanted = sorted(texts)
        query = select(TargetRow.text, TargetRow.number).where(TargetRow.text.in_(wanted))
        known = {row.text: row.number for row in connection.execute(query)}
        new = [{"text": target} for target in wanted if target not in known]
        if new:
            connection.execute(self._database.insert(TargetRow).on_conflict_do_nothing(), new)
            known = {row.text: row.number for row in connection.execute(query)}
        return known


def _unfinished(owner: str) -> Select[int]:
    return select(func.count()).where(JobRow.owner == owner, JobRow.status.in_(UNFINISHED))


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _of_digests(
    connection: Connection,
    query: Select[*tuple[Any, ...]],
    column: InstrumentedAttribute[str],
    digests: Iterable[str] | None,
    in_order_of: InstrumentedAttribute[int] | None = None,
) -> list[Row[Any]]:
    """The query's rows of those digests, of all where None."""
    if digests is None:
        return list(connection.execute(query.order_by(in_order_of)))
    found: list[Row[Any]] = []
    for chunk in _chunks(list(dict.fromkeys(digests))):
        found += connection.execute(query.where(column.in_(chunk)))
    if in_order_of is not None:
        found.sort(key=lambda row: row.number)
    return found
