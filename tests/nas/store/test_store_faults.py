"""What the world does to a database: every method says so, and leaves nothing half-written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from nas.errors import InvalidSpec, StoreUnavailable
from nas.evaluation import Split
from nas.job import Event, EventKind
from nas.store import open_store
from nas.store.address import url_of
from nas.store.database import POOL
from nas.store.migrate import revisions
from nas.store.store import Store
from nas.testing.stores import examples


@contextmanager
def another_connection(address: str) -> Iterator:
    engine = create_engine(url_of(address))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


LOCKS = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "LOCK TABLE jobs, evaluations IN ACCESS EXCLUSIVE MODE"}


def test_a_lock_is_waited_for_and_then_reported(address: str) -> None:
    with closing(open_store(address, patience=0.2)) as store:
        job = store.create_job(examples.spec())
        with another_connection(address) as other:
            other.exec_driver_sql(LOCKS[other.dialect.name])
            with pytest.raises(StoreUnavailable, match="lock"):
                store.append_event(job.id, Event(EventKind.NOTE))
            with pytest.raises(StoreUnavailable, match="lock"):
                store.add_evaluations([examples.evaluation()])
            other.rollback()
        assert store.append_event(job.id, Event(EventKind.NOTE)).sequence == 1
        assert store.evaluations("net", Split.VALIDATION) == []


def test_a_short_lock_is_only_waited_for(address: str) -> None:
    with closing(open_store(address, patience=30)) as store, another_connection(address) as other:
        job = store.create_job(examples.spec())
        other.exec_driver_sql(LOCKS[other.dialect.name])
        release = threading.Timer(0.3, other.rollback)
        release.start()
        store.append_event(job.id, Event(EventKind.NOTE))
        release.join()


def test_sqlite_is_read_while_another_process_writes(tmp_path: Path) -> None:
    with closing(open_store(tmp_path, patience=0.2)) as store:
        job = store.create_job(examples.spec())
        with closing(sqlite3.connect(tmp_path / "nas.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert store.jobs() == [job]
            with closing(open_store(tmp_path, patience=0.2)) as second:
                assert second.jobs() == [job]


def test_a_failure_in_the_middle_leaves_nothing(sql_store: Store) -> None:
    job = sql_store.create_job(examples.spec())
    broken = examples.point(2)
    object.__setattr__(broken.values["macs", None], "slowdown", None)  # the last table refuses it
    with pytest.raises(Exception, match="slowdown"):
        sql_store.put_points(job.id, [examples.point(1), broken])
    assert sql_store.points(job.id) == []
    assert sql_store.architectures([examples.point(1).digest]) == {}
    sql_store.put_points(job.id, [examples.point(1)])
    assert sql_store.points(job.id) == [examples.point(1)]


FILL_A_SMALL_DISK = """
import resource, signal, sys
from nas.testing.stores import examples
from nas.errors import StoreUnavailable
from nas.store import open_store

store = open_store({folder!r})
job = store.create_job(examples.spec())
store.put_points(job.id, [examples.point(0)])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for batch in range(1000):
    many = [examples.point(1 + number) for number in range(batch * 200, batch * 200 + 200)]
    try:
        store.put_points(job.id, many)
    except StoreUnavailable as error:
        print(batch, error)
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert len(store.points(job.id)) == 1 + 200 * batch, "half a batch was kept"
store.put_points(job.id, many)
assert len(store.points(job.id)) == 201 + 200 * batch, "the disk has room again"
"""


def test_a_full_disk_is_reported_and_nothing_is_half_written(tmp_path: Path) -> None:
    script = FILL_A_SMALL_DISK.format(folder=str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "the disk" in ended.stdout
    with closing(sqlite3.connect(tmp_path / "nas.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_database_at_its_size_limit_is_reported(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        job = store.create_job(examples.spec())
        with store._database._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 60")
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            store.put_points(job.id, [examples.point(number) for number in range(2000)])
        assert store.points(job.id) == []


READ_ONLY = """
import os, sys
from nas.errors import StoreUnavailable
from nas.store import open_store
import nas.store.sql, sqlalchemy.dialects.sqlite.pysqlite
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    open_store({folder!r})
except StoreUnavailable as error:
    print(error)
"""


@pytest.mark.parametrize("made_before", [False, True])
def test_a_folder_that_may_not_be_written_is_reported(made_before: bool) -> None:
    # Not `tmp_path`: root's is closed to the user that the script becomes.
    folder = Path(tempfile.mkdtemp())
    try:
        if made_before:
            open_store(folder).close()
        folder.chmod(0o555)
        script = READ_ONLY.format(folder=str(folder))
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        assert str(folder) in ended.stdout
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


def test_a_folder_that_cannot_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot make the folder"):
        open_store(tmp_path / "file" / "home")


def test_a_file_of_something_else_is_reported_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "nas.db").write_bytes(b"this is no database" * 500)
    with pytest.raises(StoreUnavailable, match="not an SQLite database"):
        open_store(tmp_path)
    assert (tmp_path / "nas.db").read_bytes() == b"this is no database" * 500


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        store.add_evaluations([examples.evaluation(f"{number:05}") for number in range(5000)])
    with closing(sqlite3.connect(tmp_path / "nas.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray((tmp_path / "nas.db").read_bytes())
    content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    (tmp_path / "nas.db").write_bytes(content)
    with closing(open_store(tmp_path)) as store, pytest.raises(StoreUnavailable, match="damaged"):
        store.evaluations("net", Split.VALIDATION)


def test_a_newer_schema_is_refused_and_left_alone(address: str) -> None:
    open_store(address).close()
    with another_connection(address) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'r9999'"))
        connection.commit()
    try:
        with pytest.raises(StoreUnavailable, match=r"r9999.*newer.*update"):
            open_store(address)
    finally:
        with another_connection(address) as connection:
            written = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
            # The server's database is other tests' too.
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{revisions()[-1]}'"))
            connection.commit()
    assert written == "r9999"


def test_an_unreachable_server_is_reported_without_its_password() -> None:
    with pytest.raises(StoreUnavailable) as raised:
        open_store("postgresql+psycopg://me:secret@127.0.0.1:1/nas", patience=2)
    assert "127.0.0.1" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_free_connection_is_waited_for_and_then_reported(address: str) -> None:
    with closing(open_store(address, patience=0.2)) as store, ExitStack() as taken:
        for _ in range(2 * POOL):
            taken.enter_context(store._database._engine.connect())
        with pytest.raises(StoreUnavailable, match="every connection is in use"):
            store.jobs()
        taken.close()
        assert store.jobs() == []


def test_broken_connections_are_replaced(postgresql: str) -> None:
    with closing(open_store(postgresql)) as store:
        job = store.create_job(examples.spec())
        with another_connection(postgresql) as other:
            ended = other.execute(
                text(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
            assert ended.scalar_one() > 0
        assert store.job(job.id) == job


def test_a_server_that_vanishes_is_noticed_within_a_minute(postgresql: str) -> None:
    """What every connection was opened with; the kernel does the rest."""
    with closing(open_store(postgresql)) as store, store._database.read() as connection:
        asked = connection.connection.driver_connection.info.get_parameters()
    idle, interval, count = (int(asked[f"keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert idle + interval * count <= 30
    assert int(asked["tcp_user_timeout"]) <= 30_000


@pytest.mark.parametrize(
    "address", ["mysql://host/nas", "sqlite://", "sqlite:///:memory:", "://", "http://x/"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(InvalidSpec, match="accepted") as raised:
        open_store(address)
    assert raised.value.problems[0].path == "store"


@pytest.mark.parametrize("address", ["postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"])
def test_postgresql_is_reached_by_psycopg(address: str) -> None:
    assert url_of(address).render_as_string(hide_password=False) == "postgresql+psycopg://u:p@h/d"


def test_a_folder_and_its_file_are_one_database(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "a" / "b")) as store:
        job = store.create_job(examples.spec())
    with closing(open_store(f"sqlite:///{tmp_path}/a/b/nas.db")) as store:
        assert store.jobs() == [job]
    with closing(open_store(str(tmp_path / "a" / "b"))) as store:
        assert store.jobs() == [job]
