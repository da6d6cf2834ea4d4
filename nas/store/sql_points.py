"""The points of jobs, and what is kept of all of them as they grow, in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, case, delete, func, insert, select, update
from sqlalchemy.sql import ColumnElement

from nas.errors import NoSuchPoint
from nas.front import Latency, Point, Scope
from nas.store import rows, statements
from nas.store.identity import is_beginning
from nas.store.sql_of_job import OfJob
from nas.store.statements import begins, chunks, put, put_architectures, target_numbers
from nas.store.tables import ArchitectureRow, ExtentRow, JobRow, LatencyRow, PointRow, TargetRow

__all__ = ["PointQueries"]


class PointQueries(OfJob):
    """The candidates of jobs."""

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
            stored = put(
                connection, PointRow, ["job", "digest"], point_rows, PointRow.number, PointRow.digest
            )
            for chunk in chunks([row.number for row in stored]):
                connection.execute(delete(LatencyRow).where(LatencyRow.point.in_(chunk)))
            latency_rows = [
                {**rows.latency_row(latency), "point": row.number, "target": numbers[target]}
                for row in stored
                for target, latency in by_digest[row.digest].latency_ms.items()
            ]
            if latency_rows:
                connection.execute(insert(LatencyRow), latency_rows)
            _widen_extents(connection, job, by_digest.values())
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

    def count_points(self, job_id: str) -> int:
        """See `Store.count_points`."""
        with self._reading(job_id) as (connection, number):
            return connection.execute(select(JobRow.points).where(JobRow.number == number)).scalar_one()

    def extents(self, job_id: str) -> dict[str, tuple[float, float]]:
        """See `Store.extents`."""
        with self._reading(job_id) as (connection, number):
            query = select(ExtentRow.__table__).where(ExtentRow.job == number)
            return {row.name: (row.lowest, row.highest) for row in connection.execute(query)}


def _within(job: int, scope: Scope) -> ColumnElement[bool]:
    """The job's points of a scope, said so that an index finds them."""
    mine = PointRow.job == job
    if scope is Scope.FRONT:
        return mine & PointRow.on_front
    if scope is Scope.SHOWN:
        return (mine & PointRow.on_front) | (mine & PointRow.preset.is_not(None))
    return mine


def _points(connection: Connection, chosen: ColumnElement[bool], limit: int | None = None) -> list[Point]:
    query = select(PointRow.__table__, ArchitectureRow.architecture).where(chosen)
    query = query.join(ArchitectureRow, ArchitectureRow.digest == PointRow.digest)
    found = connection.execute(query.order_by(PointRow.number).limit(limit)).all()
    if not found:
        return []
    timed = select(LatencyRow.__table__, TargetRow.text).where(chosen)
    if limit is not None:
        timed = timed.where(PointRow.number <= found[-1].number)
    timed = timed.join(PointRow, PointRow.number == LatencyRow.point)
    timed = timed.join(TargetRow, TargetRow.number == LatencyRow.target)
    latencies: dict[int, dict[str, Latency]] = {row.number: {} for row in found}
    for row in connection.execute(timed):
        latencies[row.point][row.text] = rows.latency_from(row)
    return [rows.point_from(row, latencies[row.number]) for row in found]


def _number_of_point(connection: Connection, job: int, job_id: str, digest: str) -> int:
    query = select(PointRow.number).where(PointRow.job == job, PointRow.digest == digest)
    number = connection.execute(query).scalar_one_or_none()
    if number is None:
        raise NoSuchPoint(f"job {job_id} has no point {digest!r}")
    return number


def _widen_extents(connection: Connection, job: int, points: Iterable[Point]) -> None:
    new = statements.insert(connection, ExtentRow)
    lower, higher = new.excluded.lowest < ExtentRow.lowest, new.excluded.highest > ExtentRow.highest
    widened = new.on_conflict_do_update(
        index_elements=["job", "name"],
        set_={
            "lowest": case((lower, new.excluded.lowest), else_=ExtentRow.lowest),
            "highest": case((higher, new.excluded.highest), else_=ExtentRow.highest),
        },
    )
    connection.execute(widened, [{**row, "job": job} for row in rows.extent_rows(points)])
