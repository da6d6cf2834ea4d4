"""Connections, transactions and the schema's version."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from nas.errors import StoreUnavailable

__all__ = ["Database"]

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 10.0
"""How long a write waits for another process's."""
WRITE = "nas_write"


class Database:
    """One database, at the newest schema.

    Args:
        url: SQLAlchemy's, of SQLite or PostgreSQL (psycopg).

    Raises:
        StoreUnavailable: it cannot be opened, or a newer version of this program wrote its schema.
    """

    def __init__(self, url: str) -> None:
        self._name = make_url(url).render_as_string(hide_password=True)
        is_sqlite = url.startswith("sqlite")
        options: dict[str, Any] = (
            {"connect_args": {"timeout": BUSY_SECONDS}} if is_sqlite else {"pool_pre_ping": True}
        )
        self.engine: Engine = create_engine(url, **options)
        if is_sqlite:
            event.listen(self.engine, "connect", _configure_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._migrate()

    @property
    def dialect(self) -> str:
        """``"sqlite"`` or ``"postgresql"``."""
        return self.engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self._mapped(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write: all of it, or none. On SQLite it takes the write lock at its
        start, so that two of them wait for each other rather than fail half-way."""
        with self._mapped(), self.engine.connect() as connection:
            connection = connection.execution_options(**{WRITE: True})
            with connection.begin():
                yield connection

    def serialise(self, connection: Connection) -> None:
        """Wait for every other transaction that does the same; a write of SQLite's always does."""
        if self.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(7302)"))

    def close(self) -> None:
        """Let go of the pool."""
        self.engine.dispose()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreUnavailable(f"{self._name}: {error.orig}") from error
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"{self._name}: {error}") from error

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        script = ScriptDirectory.from_config(config)
        with self.write() as connection:
            if self.dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(7301)"))  # one process migrates
            current = MigrationContext.configure(connection).get_current_revision()
            if current == script.get_current_head():
                return
            if current is not None and current not in {r.revision for r in script.walk_revisions()}:
                raise StoreUnavailable(
                    f"{self._name} has schema {current}, which this version does not know: update it, "
                    "or point $NAS_HOME to another folder"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
