"""The points of jobs, and what is kept of all of them as they grow, in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, case, delete, func, insert, select, update
from sqlalchemy.sql import ColumnElement

from nas.cloud import Cloud, digest_numbers, single_precision
from nas.errors import NoSuchPoint
from nas.front import Scope
from nas.objectives.objective import Key
from nas.objectives.quality import QUALITY
from nas.point import Point
from nas.store import rows, statements
from nas.store.identity import is_beginning
from nas.store.sql_of_job import OfJob
from nas.store.statements import begins, chunks, objective_keys, objective_numbers, put, put_architectures
from nas.store.tables import ArchitectureRow, ExtentRow, JobRow, ObjectiveRow, PointRow, PointValueRow

__all__ = ["PointQueries"]


class PointQueries(OfJob):
    """The candidates of jobs."""

    def put_points(self, job_id: str, points: Sequence[Point]) -> None:
        """See `Store.put_points`."""
        by_digest = {point.digest: point for point in points}
        if not by_digest:
            return
        with self._writing(job_id) as (connection, job):
            extents = rows.extents_of(by_digest.values())
            numbers = objective_numbers(connection, extents)
            put_architectures(connection, {d: point.architecture for d, point in by_digest.items()})
            point_rows = [{**rows.point_row(point), "job": job} for point in by_digest.values()]
            stored = put(
                connection, PointRow, ["job", "digest"], point_rows, PointRow.number, PointRow.digest
            )
            for chunk in chunks([row.number for row in stored]):
                connection.execute(delete(PointValueRow).where(PointValueRow.point.in_(chunk)))
            values = [
                {**rows.value_row(value), "point": row.number, "objective": numbers[key]}
                for row in stored
                for key, value in by_digest[row.digest].values.items()
            ]
            if values:
                connection.execute(insert(PointValueRow), values)
            _widen_extents(connection, job, {numbers[key]: ends for key, ends in extents.items()})
            counted = select(func.count()).where(PointRow.job == job).scalar_subquery()
            connection.execute(update(JobRow).where(JobRow.number == job).values(points=counted))

    def points(
        self, job_id: str, scope: Scope = Scope.ALL, *, after: str | None = None, limit: int | None = None
    ) -> list[Point]:
        """See `Store.points`."""
        with self._reading(job_id) as (connection, job):
            chosen = _within(job, scope)
            if after is not None:
                chosen &= PointRow.number > _number_of_point(connection, job, job_id, after)
            return _points(connection, chosen, limit)

    def point(self, job_id: str, digest: str) -> Point:
        """See `Store.point`."""
        with self._reading(job_id) as (connection, job):
            found: list[Point] = []
            if is_beginning(digest):
                begins_so = begins(PointRow.digest, digest)
                found = _points(connection, (PointRow.job == job) & begins_so, 2)
        if len(found) == 1:
            return found[0]
        if found:
            raise NoSuchPoint(f"several points of {job_id} begin with {digest!r}; give more digits")
        raise NoSuchPoint(f"job {job_id} has no point {digest!r}; its points: nas front {job_id} --json")

    def cloud(self, job_id: str, keys: Sequence[Key]) -> Cloud:
        """See `Store.cloud`."""
        with self._reading(job_id) as (connection, job):
            query = select(PointRow.number, PointRow.digest, PointRow.validation).where(PointRow.job == job)
            found = connection.execute(query.order_by(PointRow.number)).all()
            numbers = np.array([row[0] for row in found], np.int64)
            columns: dict[Key, NDArray[np.float32]] = {}
            for key in keys:
                if key == (QUALITY, None):
                    columns[key] = single_precision([row[2] for row in found])
                else:
                    columns[key] = _column(connection, job, key, numbers)
        return Cloud(digest_numbers(row[1] for row in found), columns)

    def count_points(self, job_id: str) -> int:
        """See `Store.count_points`."""
        with self._reading(job_id) as (connection, number):
            return connection.execute(select(JobRow.points).where(JobRow.number == number)).scalar_one()

    def extents(self, job_id: str) -> dict[Key, tuple[float, float]]:
        """See `Store.extents`."""
        with self._reading(job_id) as (connection, number):
            query = select(ExtentRow.__table__, ObjectiveRow.kind, ObjectiveRow.target)
            query = query.join(ObjectiveRow, ObjectiveRow.number == ExtentRow.objective)
            found = connection.execute(query.where(ExtentRow.job == number))
            return {(row.kind, row.target or None): (row.lowest, row.highest) for row in found}


def _within(job: int, scope: Scope) -> ColumnElement[bool]:
    """The job's points of a scope, said so that an index finds them."""
    mine = PointRow.job == job
    if scope is Scope.FRONT:
        return mine & PointRow.on_front
    if scope is Scope.SHOWN:
        return (mine & PointRow.on_front) | (mine & PointRow.preset.is_not(None))
    return mine


def _points(connection: Connection, chosen: ColumnElement[bool], limit: int | None = None) -> list[Point]:
    query = select(*rows.POINT_COLUMNS).where(chosen)
    query = query.join(ArchitectureRow, ArchitectureRow.digest == PointRow.digest)
    found = connection.execute(query.order_by(PointRow.number).limit(limit)).all()
    if not found:
        return []
    known = select(*rows.VALUE_COLUMNS).where(chosen)
    if limit is not None:
        known = known.where(PointRow.number <= found[-1].number)
    known = known.join(PointRow, PointRow.number == PointValueRow.point)
    stored = connection.execute(known).all()
    values = rows.values_from(stored, objective_keys(connection, {row.objective for row in stored}))
    return [rows.point_from(row, values) for row in found]


def _column(connection: Connection, job: int, key: Key, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Best known values of an objective, of the points of these rising numbers."""
    kind, target = key
    known = select(PointValueRow.point, func.coalesce(PointValueRow.measured, PointValueRow.predicted))
    known = known.join(PointRow, PointRow.number == PointValueRow.point)
    known = known.join(ObjectiveRow, ObjectiveRow.number == PointValueRow.objective)
    known = known.where(PointRow.job == job, ObjectiveRow.kind == kind, ObjectiveRow.target == (target or ""))
    found = connection.execute(known).all()
    column = np.full(len(numbers), np.nan, np.float32)
    column[np.searchsorted(numbers, np.array([row[0] for row in found], np.int64))] = [
        row[1] for row in found
    ]
    return column


def _number_of_point(connection: Connection, job: int, job_id: str, digest: str) -> int:
    query = select(PointRow.number).where(PointRow.job == job, PointRow.digest == digest)
    number = connection.execute(query).scalar_one_or_none()
    if number is None:
        raise NoSuchPoint(f"job {job_id} has no point {digest!r}")
    return number


def _widen_extents(connection: Connection, job: int, extents: Mapping[int, tuple[float, float]]) -> None:
    """By numbers of objectives."""
    if not extents:
        return
    new = statements.insert(connection, ExtentRow)
    lower, higher = new.excluded.lowest < ExtentRow.lowest, new.excluded.highest > ExtentRow.highest
    widened = new.on_conflict_do_update(
        index_elements=["job", "objective"],
        set_={
            "lowest": case((lower, new.excluded.lowest), else_=ExtentRow.lowest),
            "highest": case((higher, new.excluded.highest), else_=ExtentRow.highest),
        },
    )
    found = [
        {"job": job, "objective": number, "lowest": lowest, "highest": highest}
        for number, (lowest, highest) in sorted(extents.items())
    ]
    connection.execute(widened, found)
