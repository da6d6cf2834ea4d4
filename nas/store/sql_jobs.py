"""Jobs, and what each of them must remember, in SQLite or PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select, update

from nas.errors import NoSuchJob
from nas.front import Latency, Point
from nas.job import Event, Job, JobSpec, JobStatus, StageName
from nas.store import rows
from nas.store.database import Database
from nas.store.identity import SHOWN, is_beginning, new_job_id, no_such_job, too_many_jobs
from nas.store.statements import chunks, lock, now, of_digests, put, put_architectures, target_numbers
from nas.store.store import UNFINISHED, Store
from nas.store.tables import ArchitectureRow, EventRow, JobRow, LatencyRow, PointRow, StateRow, TargetRow

__all__ = ["JobQueries"]

LAST_CHARACTER = "\U0010ffff"


class JobQueries(Store):
    """The half of a store that speaks of jobs."""

    _database: Database

    # Jobs
    def create_job(
        self, spec: JobSpec, *, key: str | None = None, owner: str = "", most: int | None = None
    ) -> Job:
        """See `Store.create_job`."""
        with self._database.write() as connection:
            # Two submissions at once would see neither each other's key nor count each other.
            lock(connection, JobRow)
            submitted = select(JobRow.__table__).where(JobRow.owner == owner, JobRow.key == key)
            earlier = None if key is None else connection.execute(submitted).one_or_none()
            if earlier is not None:
                return rows.job_from(earlier)
            if most is not None and connection.execute(_unfinished(owner)).scalar_one() >= most:
                raise too_many_jobs(owner, most)
            created_at = time.time()
            row = {
                "id": new_job_id(spec, lambda job_id: _is_known(connection, job_id)),
                "owner": owner,
                "key": key,
                "spec": spec.model_dump_json(),
                "status": str(JobStatus.QUEUED),
                "stage": str(StageName.PROFILE),
                "created_at": created_at,
                "updated_at": created_at,
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
        query = select(JobRow.__table__).where(JobRow.status.in_(UNFINISHED)).order_by(JobRow.number)
        with self._database.read() as connection:
            free = or_(JobRow.holder.is_(None), JobRow.held_until <= now(connection))
            return [rows.job_from(row) for row in connection.execute(query.where(free).limit(limit))]

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
        with self._writing(job_id) as (connection, number):
            free = or_(JobRow.holder.is_(None), JobRow.holder == owner, JobRow.held_until <= now(connection))
            claim = update(JobRow).where(JobRow.number == number, free)
            claim = claim.values(holder=owner, held_until=now(connection) + seconds)
            return connection.execute(claim).rowcount == 1

    def release(self, job_id: str, owner: str) -> None:
        """See `Store.release`."""
        with self._writing(job_id) as (connection, number):
            held = update(JobRow).where(JobRow.number == number, JobRow.holder == owner)
            connection.execute(held.values(holder=None, held_until=None))

    def lease_owner(self, job_id: str) -> str | None:
        """See `Store.lease_owner`."""
        with self._reading(job_id) as (connection, number):
            held = JobRow.held_until > now(connection)
            query = select(JobRow.holder).where(JobRow.number == number, held)
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

    # What a job itself must remember
    def put_state(self, job_id: str, name: str, state: Mapping[str, Any]) -> None:
        """See `Store.put_state`."""
        with self._writing(job_id) as (connection, number):
            row = {"job": number, "name": name, "state": dict(state)}
            put(connection, StateRow, ["job", "name"], [row])

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
            numbers = target_numbers(connection, texts)
            put_architectures(connection, {d: point.architecture for d, point in by_digest.items()})
            point_rows = [{**rows.point_row(point), "job": job} for point in by_digest.values()]
            put(connection, PointRow, ["job", "digest"], point_rows)
            mine = select(PointRow.number, PointRow.digest).where(PointRow.job == job)
            stored = of_digests(connection, mine, PointRow.digest, by_digest)
            for chunk in chunks([row.number for row in stored]):
                connection.execute(delete(LatencyRow).where(LatencyRow.point.in_(chunk)))
            latency_rows = [
                {**rows.latency_row(latency), "point": row.number, "target": numbers[target]}
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


def _is_known(connection: Connection, job_id: str) -> bool:
    return connection.execute(select(JobRow.number).where(JobRow.id == job_id)).first() is not None


def _unfinished(owner: str) -> Select[int]:
    return select(func.count()).where(JobRow.owner == owner, JobRow.status.in_(UNFINISHED))
