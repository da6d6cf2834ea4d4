"""No question of a user reads a table from end to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event, text

from nas.errors import NoSuchJob
from nas.evaluation import Split
from nas.front import Scope
from nas.job import Event, EventKind, JobStatus
from nas.store import open_store
from nas.store.store import Store
from nas.testing.stores import examples


def _a_point(store: Store, job: str) -> str:
    store.put_points(job, [examples.point()])
    return examples.point().digest


QUESTIONS: dict[str, Callable[[Store, str], object]] = {
    "job": lambda store, job: store.job(job),
    "job by its beginning": lambda store, job: store.job(job[:-2]),
    "older jobs": lambda store, job: store.jobs(limit=50, before=job),
    "runnable": lambda store, job: store.runnable(5),
    "unfinished": lambda store, job: store.unfinished("ada"),
    "submit again": lambda store, job: store.create_job(examples.spec(), key="k", owner="ada"),
    "set_job": lambda store, job: store.set_job(job, JobStatus.RUNNING, None),
    "requeue": lambda store, job: store.requeue(job, most=9),
    "reopen": lambda store, job: store.reopen(job, examples.spec()),
    "claim": lambda store, job: store.claim(job, "me", 1.0),
    "lease_owner": lambda store, job: store.lease_owner(job),
    "release": lambda store, job: store.release(job, "me"),
    "append_event": lambda store, job: store.append_event(job, Event(EventKind.NOTE)),
    "events": lambda store, job: store.events(job, after=1),
    "state": lambda store, job: store.state(job, "search"),
    "journal": lambda store, job: store.journal(job, "search"),
    "architectures": lambda store, job: store.architectures(["a", "b"]),
    "measurements": lambda store, job: store.measurements(examples.TARGET),
    "measurements of digests": lambda store, job: store.measurements(examples.TARGET, ["a", "b"]),
    "evaluations": lambda store, job: store.evaluations("net", Split.VALIDATION),
    "evaluations of digests": lambda store, job: store.evaluations("net", Split.VALIDATION, ["a", "b"]),
    "supernet": lambda store, job: store.supernet("net"),
    "predictor": lambda store, job: store.predictor("space", ("latency_ms", str(examples.TARGET))),
    "points": lambda store, job: store.points(job),
    "front": lambda store, job: store.points(job, Scope.FRONT),
    "shown points": lambda store, job: store.points(job, Scope.SHOWN),
    "page of points": lambda store, job: store.points(job, after=_a_point(store, job), limit=5),
    "point": lambda store, job: store.point(job, _a_point(store, job)[:8]),
    "extents": lambda store, job: store.extents(job),
    "count_points": lambda store, job: store.count_points(job),
    "count_death": lambda store, job: store.count_death(job),
    "note_place": lambda store, job: store.note_place(job, "train 1/10"),
    "put_points": lambda store, job: store.put_points(job, [examples.point()]),
}


@contextmanager
def statements(store: Store) -> Iterator[list[tuple[str, object]]]:
    """Everything that is executed meanwhile."""
    seen: list[tuple[str, object]] = []

    def note(connection, cursor, statement, parameters, context, executemany) -> None:
        if not executemany and statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            seen.append((statement, parameters))

    event.listen(store._database._engine, "before_cursor_execute", note)
    yield seen
    event.remove(store._database._engine, "before_cursor_execute", note)


def plan(store: Store, statement: str, parameters: object) -> list[str]:
    """As the database tells it, table scans (where no index would do) by their name."""
    with store._database.read() as connection:
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            return [row[3] for row in rows]
        # Of a small table the server would read all; it is asked what it could do.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_from_an_index(sql_store: Store, question: str) -> None:
    job = sql_store.create_job(examples.spec(), key="k", owner="ada").id
    sql_store.create_job(examples.spec("other"))
    with statements(sql_store) as seen:
        QUESTIONS[question](sql_store, job)
    assert seen
    for statement, parameters in seen:
        lines = plan(sql_store, statement, parameters)
        scans = [line for line in lines if line.startswith("SCAN ") or "Seq Scan" in line]
        # SQLite reads a single row without a table so.
        assert [scan for scan in scans if scan != "SCAN CONSTANT ROW"] == [], (statement, lines)


@pytest.mark.parametrize("question", ["older jobs", "events", "points", "page of points", "front"])
def test_what_comes_in_order_is_not_sorted(tmp_path: Path, question: str) -> None:
    # PostgreSQL may well prefer to sort so few rows.
    with closing(open_store(tmp_path)) as store:
        job = store.create_job(examples.spec()).id
        with statements(store) as seen:
            QUESTIONS[question](store, job)
        for statement, parameters in seen:
            assert "TEMP B-TREE" not in "".join(plan(store, statement, parameters)), statement


@pytest.mark.parametrize("question", ["evaluations of digests", "measurements of digests"])
def test_a_few_digests_are_found_before_the_server_has_counted(sql_store: Store, question: str) -> None:
    """A table that has just grown has no statistics: its plan must be right without."""
    with sql_store._database.write() as connection:
        if connection.dialect.name == "postgresql":
            for table in ("evaluations", "measurements"):
                connection.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    job = sql_store.create_job(examples.spec()).id
    sql_store.add_evaluations([examples.evaluation(f"{number:016x}") for number in range(3000)])
    for number in range(30):
        sql_store.add_measurement(examples.measurement(f"{number:016x}"))
    with statements(sql_store) as seen:
        QUESTIONS[question](sql_store, job)
    (statement, parameters) = seen[-1]
    told = " ".join(plan(sql_store, statement, parameters))
    assert "digest" in told, told
    # Whether a measurement was retired is asked of the rows that the index found.
    assert "Filter" not in told.replace("Filter: (NOT retired)", ""), "the index is searched for each digest"


def test_points_are_put_without_reading_those_of_the_job(sql_store: Store) -> None:
    """But for their count, which an index holds."""
    job = sql_store.create_job(examples.spec()).id
    with statements(sql_store) as seen:
        sql_store.put_points(job, [examples.point(number) for number in range(3)])
    assert not [
        statement for statement, _ in seen if "FROM points" in statement and "count(" not in statement
    ]


def test_the_newest_jobs_are_read_from_the_end(sql_store: Store) -> None:
    """A page of jobs, and the ids that an error names, are the last rows of the table: no sort."""
    with statements(sql_store) as seen:
        sql_store.jobs(limit=5)
        with pytest.raises(NoSuchJob):
            sql_store.job("nobody")
    for statement, parameters in seen:
        if "FROM" not in statement.replace("EXTRACT(epoch FROM", ""):
            continue  # what time it is
        told = " ".join(plan(sql_store, statement, parameters))
        assert "LIMIT" in statement or "WHERE" in statement
        assert "TEMP B-TREE" not in told, statement
        assert "Seq Scan" not in told, statement


def test_a_front_is_read_without_the_points_behind_it(sql_store: Store) -> None:
    job = sql_store.create_job(examples.spec()).id
    sql_store.put_points(job, [examples.point(number, on_front=number % 100 == 0) for number in range(2000)])
    with sql_store._database.write() as connection:
        connection.exec_driver_sql("ANALYZE")
    with statements(sql_store) as seen:
        sql_store.points(job, Scope.FRONT)
    of_points = [(statement, values) for statement, values in seen if "points.on_front" in statement]
    assert len(of_points) == 2
    for statement, values in of_points:
        assert "ix_points_job_on_front_number" in " ".join(plan(sql_store, statement, values))
