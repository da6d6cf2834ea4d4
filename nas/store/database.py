"""Connections: one transaction at a time, and every failure of the database as one kind of error."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, func, literal, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql import ColumnElement

from nas.errors import StoreUnavailable
from nas.store.migrate import is_current, migrate
from nas.store.tables import Base

__all__ = ["Database"]

DEFECTS = (IntegrityError, DataError, ProgrammingError, NotSupportedError)
"""What the database says of a wrong statement: a defect of ours, never told as an outage."""

POOL = 10
"""Connections that one process keeps open; as many again may join for a moment."""


class Database:
    """A migrated SQLite file or PostgreSQL database.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql+psycopg://…``.
        patience: seconds to wait for a lock that another transaction holds, or for a free connection.

    Raises:
        StoreUnavailable: it cannot be opened, or is of a newer schema than this code knows.
    """

    def __init__(self, url: URL, patience: float) -> None:
        self.name = url.render_as_string(hide_password=True)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        with self._failures():
            if self.is_sqlite:
                self.engine = _sqlite_engine(url, patience)
            else:
                self.engine = _postgresql_engine(url, patience)
        with self.read() as connection:
            current = is_current(connection)
        if not current:
            with self.write() as connection:
                migrate(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the data and changes nothing."""
        with self._failures(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is kept whole at the block's end, or not at all where the block fails."""
        with (
            self._failures(),
            self.engine.connect().execution_options(nas_writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    def insert(self, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that can say what to do with a row whose key is there already."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def lock(self, connection: Connection, table: type[Base]) -> None:
        """Wait for every other transaction that writes to the table, and let none in before this one has
        ended; on SQLite a writer is alone anyway."""
        if not self.is_sqlite:
            connection.execute(text(f"LOCK TABLE {table.__tablename__} IN SHARE ROW EXCLUSIVE MODE"))

    def clock(self, here: float) -> ColumnElement[float]:
        """Seconds since the epoch by the one clock that all processes of this database share: the
        server's, or for a file this machine's (`here`)."""
        if self.is_sqlite:
            return literal(here)
        return func.extract("epoch", func.clock_timestamp()).cast(postgresql.DOUBLE_PRECISION)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except DEFECTS:
            raise
        except PoolTimeout as error:
            raise StoreUnavailable(f"{self.name}: every connection is in use: {error}") from error
        except DBAPIError as error:
            raise StoreUnavailable(f"{self.name}: {_explain(error.orig)}") from error


def _sqlite_engine(url: URL, patience: float) -> Engine:
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"cannot make the folder {path.parent}: {error.strerror}") from error
    engine = create_engine(
        url,
        pool_size=POOL,
        max_overflow=POOL,
        pool_timeout=patience,
        connect_args={"timeout": patience, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, record: object) -> None:
        # FULL: a commit survives a power cut too, for one flush of the disk.
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "cache_size = -65536",
        ):
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later could not wait for a lock: the writer's is
        # asked for at once.
        writes = connection.get_execution_options().get("nas_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(url: URL, patience: float) -> Engine:
    try:
        return create_engine(
            url,
            pool_size=POOL,
            max_overflow=POOL,
            pool_timeout=patience,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(2, round(patience)),
                "options": f"-c lock_timeout={round(patience * 1000)}",
            },
        )
    except ModuleNotFoundError as error:
        raise StoreUnavailable(
            "PostgreSQL needs the package psycopg; install it with: pip install 'nas-service[postgres]'"
        ) from error


_SQLITE = {
    sqlite3.SQLITE_BUSY: "another process holds the database's lock; wait for it or stop it",
    sqlite3.SQLITE_LOCKED: "another connection holds the table's lock",
    sqlite3.SQLITE_FULL: "the disk is full; make room and resume",
    sqlite3.SQLITE_READONLY: "the file or its folder may not be written",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; the folder must exist and be writable",
    sqlite3.SQLITE_IOERR: "the disk failed, or is full",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a copy",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database, or is damaged",
}


def _explain(error: BaseException | None) -> str:
    said = " ".join(str(error).split())
    # The low byte of an extended code is the plain one.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return f"{_SQLITE[code]} ({said})" if code in _SQLITE else said
