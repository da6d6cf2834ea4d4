"""Jobs, their leases, events and states, in SQLite or PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, insert, or_, select, update

from nas.errors import NasError
from nas.job import Event, Job, JobStatus, Viewer
from nas.spec import JobSpec, StageName
from nas.store import rows
from nas.store.identity import new_job_id, too_many_jobs
from nas.store.sql_of_job import OfJob, visible_to
from nas.store.statements import lock, now, put
from nas.store.store import RESUMABLE, UNFINISHED
from nas.store.tables import EventRow, JobRow, JournalRow, StateRow

__all__ = ["JobQueries"]


class JobQueries(OfJob):
    """Jobs, their leases, their events and their states."""

    # Jobs
    def create_job(
        self,
        spec: JobSpec,
        *,
        key: str | None = None,
        owner: str = "",
        most: int | None = None,
        group: str = "",
        shared: bool = False,
    ) -> Job:
        """See `Store.create_job`."""
        with self._database.write() as connection:
            # Two submissions at once would see neither each other's key nor count each other.
            lock(connection, JobRow)
            submitted = select(JobRow.__table__).where(JobRow.owner == owner, JobRow.key == key)
            earlier = None if key is None else connection.execute(submitted).one_or_none()
            if earlier is not None:
                return rows.job_from(earlier, _time_of(connection))
            if most is not None and connection.execute(_unfinished(owner)).scalar_one() >= most:
                raise too_many_jobs(owner, most)
            created_at = time.time()
            row = {
                "id": new_job_id(spec, lambda job_id: _is_known(connection, job_id)),
                "owner": owner,
                "key": key,
                "team": group,
                "shared": shared,
                "spec": spec.model_dump_json(),
                "status": str(JobStatus.QUEUED),
                "stage": str(StageName.PROFILE),
                "created_at": created_at,
                "updated_at": created_at,
                "last_event": 0,
            }
            return rows.job_from(connection.execute(insert(JobRow).returning(JobRow.__table__), row).one())

    def job(self, job_id: str, viewer: Viewer | None = None) -> Job:
        """See `Store.job`."""
        with self._database.read() as connection:
            return rows.job_from(self._find(connection, job_id, viewer), _time_of(connection))

    def jobs(
        self, limit: int | None = None, before: str | None = None, viewer: Viewer | None = None
    ) -> list[Job]:
        """See `Store.jobs`."""
        query = select(JobRow.__table__).where(visible_to(viewer))
        query = query.order_by(JobRow.number.desc()).limit(limit)
        with self._database.read() as connection:
            if before is not None:
                query = query.where(JobRow.number < self._find(connection, before, viewer).number)
            at = _time_of(connection)
            return [rows.job_from(row, at) for row in connection.execute(query)]

    def runnable(self, limit: int) -> list[Job]:
        """See `Store.runnable`."""
        query = select(JobRow.__table__).where(JobRow.status.in_(UNFINISHED)).order_by(JobRow.number)
        with self._database.read() as connection:
            free = or_(JobRow.holder.is_(None), JobRow.held_until <= now(connection))
            at = _time_of(connection)
            return [rows.job_from(row, at) for row in connection.execute(query.where(free).limit(limit))]

    def unfinished(self, owner: str) -> int:
        """See `Store.unfinished`."""
        with self._database.read() as connection:
            return connection.execute(_unfinished(owner)).scalar_one()

    def count_jobs(self) -> dict[JobStatus, int]:
        """See `Store.count_jobs`."""
        query = select(JobRow.status, func.count()).group_by(JobRow.status)
        with self._database.read() as connection:
            return {JobStatus(status): count for status, count in connection.execute(query)}

    def set_job(
        self, job_id: str, status: JobStatus, stage: StageName | None, error: NasError | None = None
    ) -> None:
        """See `Store.set_job`."""
        values: dict[str, Any] = {
            "status": str(status),
            "stage": None if stage is None else str(stage),
            "error": None if error is None else str(error),
            "error_kind": None if error is None else type(error).__name__,
            "updated_at": time.time(),
        }
        if status is not JobStatus.RUNNING:
            values |= {"deaths": 0, "place": None}
        with self._writing(job_id) as (connection, number):
            connection.execute(update(JobRow).where(JobRow.number == number).values(values))

    def requeue(self, job_id: str, *, most: int | None = None) -> bool:
        """See `Store.requeue`."""
        values = {"error": None, "error_kind": None, "deaths": 0, "place": None}
        return self._queue(job_id, RESUMABLE, values, most)

    def reopen(self, job_id: str, spec: JobSpec, *, most: int | None = None) -> bool:
        """See `Store.reopen`."""
        values = {"spec": spec.model_dump_json(), "stage": str(StageName.PROFILE)}
        return self._queue(job_id, (JobStatus.SUCCEEDED,), values, most)

    def _queue(
        self, job_id: str, among: Sequence[JobStatus], values: Mapping[str, Any], most: int | None
    ) -> bool:
        """Queue a job of one of these statuses, within its owner's limit; whether it was of one."""
        queued = {**values, "status": str(JobStatus.QUEUED), "updated_at": time.time()}
        with self._database.write() as connection:
            if most is not None:
                # Before anything is read: two jobs queued at once would not count each other.
                lock(connection, JobRow)
            is_it = JobRow.number == self._number(connection, job_id)
            owner = select(JobRow.owner).where(is_it, JobRow.status.in_(among))
            of = connection.execute(owner).scalar_one_or_none()
            if of is None:
                return False
            if most is not None and connection.execute(_unfinished(of)).scalar_one() >= most:
                raise too_many_jobs(of, most)
            queue = update(JobRow).where(is_it, JobRow.status.in_(among)).values(queued)
            return connection.execute(queue).rowcount == 1

    def amend(self, job_id: str, spec: JobSpec) -> None:
        """See `Store.amend`."""
        with self._writing(job_id) as (connection, number):
            values = {"spec": spec.model_dump_json(), "updated_at": time.time()}
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

    def count_death(self, job_id: str) -> int:
        """See `Store.count_death`."""
        with self._writing(job_id) as (connection, number):
            count = update(JobRow).where(JobRow.number == number).values(deaths=JobRow.deaths + 1)
            return connection.execute(count.returning(JobRow.deaths)).scalar_one()

    def note_place(self, job_id: str, place: str) -> None:
        """See `Store.note_place`."""
        with self._writing(job_id) as (connection, number):
            further = JobRow.place.is_distinct_from(place)
            note = update(JobRow).where(JobRow.number == number, further)
            connection.execute(note.values(place=place, deaths=0))

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
    def put_state(
        self, job_id: str, name: str, state: Mapping[str, Any], entry: Mapping[str, Any] | None = None
    ) -> None:
        """See `Store.put_state`."""
        with self._writing(job_id) as (connection, number):
            row = {"job": number, "name": name, "state": dict(state)}
            put(connection, StateRow, ["job", "name"], [row])
            if entry is not None:
                connection.execute(insert(JournalRow), {"job": number, "name": name, "entry": dict(entry)})

    def state(self, job_id: str, name: str) -> dict[str, Any] | None:
        """See `Store.state`."""
        with self._reading(job_id) as (connection, number):
            query = select(StateRow.state).where(StateRow.job == number, StateRow.name == name)
            return connection.execute(query).scalar_one_or_none()

    def journal(self, job_id: str, name: str) -> list[dict[str, Any]]:
        """See `Store.journal`."""
        with self._reading(job_id) as (connection, number):
            query = select(JournalRow.entry).where(JournalRow.job == number, JournalRow.name == name)
            return list(connection.execute(query.order_by(JournalRow.number)).scalars())


def _time_of(connection: Connection) -> float:
    return float(connection.execute(select(now(connection))).scalar_one())


def _is_known(connection: Connection, job_id: str) -> bool:
    return connection.execute(select(JobRow.number).where(JobRow.id == job_id)).first() is not None


def _unfinished(owner: str) -> Select[int]:
    return select(func.count()).where(JobRow.owner == owner, JobRow.status.in_(UNFINISHED))
