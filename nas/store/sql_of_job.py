"""Transactions that are about one job, in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, true

from nas.errors import NoSuchJob
from nas.job import Viewer
from nas.store.database import Database
from nas.store.identity import SHOWN, is_beginning, no_such_job
from nas.store.statements import begins
from nas.store.store import Store
from nas.store.tables import JobRow

__all__ = ["OfJob", "visible_to"]


def visible_to(viewer: Viewer | None) -> ColumnElement[bool]:
    """Whether they may look at a job: it is theirs, their group's or shared; everybody's where None."""
    if viewer is None:
        return true()
    groups = and_(JobRow.team != "", JobRow.team == viewer.group)
    return or_(JobRow.owner == viewer.name, groups, JobRow.shared)


class OfJob(Store):
    """Finds the job that a method speaks of, within the method's transaction."""

    _database: Database

    @contextmanager
    def _reading(self, job_id: str) -> Iterator[tuple[Connection, int]]:
        with self._database.read() as connection:
            yield connection, self._number(connection, job_id)

    @contextmanager
    def _writing(self, job_id: str) -> Iterator[tuple[Connection, int]]:
        with self._database.write() as connection:
            yield connection, self._number(connection, job_id)

    def _find(self, connection: Connection, beginning: str, viewer: Viewer | None = None) -> Row[Any]:
        """The row of the job whose id begins so, among those that the viewer may look at."""
        found: Sequence[Row[Any]] = ()
        if is_beginning(beginning):
            query = select(JobRow.__table__).where(begins(JobRow.id, beginning), visible_to(viewer))
            found = connection.execute(query.order_by(JobRow.id).limit(SHOWN + 1)).all()
        # In order of ids, one that is named in full comes first.
        if len(found) == 1 or (found and found[0].id == beginning):
            return found[0]
        raise self._no_such_job(connection, beginning, [row.id for row in found], viewer)

    def _number(self, connection: Connection, job_id: str) -> int:
        """Of the job of that id in full."""
        query = select(JobRow.number).where(JobRow.id == job_id)
        number = connection.execute(query).scalar_one_or_none() if is_beginning(job_id) else None
        if number is None:
            raise self._no_such_job(connection, job_id, [])
        return number

    def _no_such_job(
        self, connection: Connection, job_id: str, matching: Sequence[str], viewer: Viewer | None = None
    ) -> NoSuchJob:
        newest = select(JobRow.id).where(visible_to(viewer)).order_by(JobRow.number.desc()).limit(1000)
        return no_such_job(job_id, matching, connection.execute(newest).scalars().all())
