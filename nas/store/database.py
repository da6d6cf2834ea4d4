"""Connections: one transaction at a time, and every failure of the database as one kind of error."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from nas.errors import StoreUnavailable
from nas.store.migrate import is_current, migrate

__all__ = ["Database"]

DEFECTS = (IntegrityError, DataError, ProgrammingError, NotSupportedError)
"""What the database says of a wrong statement: a defect of ours, never told as an outage."""

WRITES = "nas_writes"
"""Option of the connections that write."""

ONE_STATE: dict[str, dict[str, Any]] = {
    "sqlite": {},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}
"""Options of the connections that read: several statements see one state of the data."""

AGAIN_SECONDS = 0.2
"""Between two attempts to reach a server that is away."""

LIVELINESS = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""Of connections over TCP, for libpq: a host that vanishes without a word (its power, its network) is noticed
within 30 s, whether an answer is waited for or a question is on its way. Left to itself Linux takes hours."""

POOL = 10
"""Connections that one process keeps open; as many again may join for a moment."""


class Database:
    """A migrated SQLite file or PostgreSQL database.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql+psycopg://…``.
        patience: seconds to wait for a lock that another transaction holds, for a free connection, and, once
            it was opened, for a server that went away and may come back. A transaction that the server broke
            off is not tried again: what it left is for its caller to judge.

    Raises:
        StoreUnavailable: it cannot be opened, or is of a newer schema than this code knows.
    """

    def __init__(self, url: URL, patience: float) -> None:
        self.name = url.render_as_string(hide_password=True)
        opened = _sqlite_engine if url.get_backend_name() == "sqlite" else _postgresql_engine
        self._engine = opened(url, patience)
        self._reading = self._engine.execution_options(**ONE_STATE[self._engine.name])
        self._writing = self._engine.execution_options(**{WRITES: True})
        self._patience = 0.0
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise
        self._patience = patience

    def _migrate(self) -> None:
        # Most often there is nothing to write, and so no lock to wait for.
        with self.read() as connection:
            current = is_current(connection)
        if not current:
            with self.write() as connection:
                migrate(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the data and changes nothing."""
        with self._failures(), self._connected(self._reading) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is kept whole at the block's end, or not at all where the block fails."""
        with self._failures(), self._connected(self._writing) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _connected(self, engine: Engine) -> Connection:
        """A connection that answers; SQLite's waits for a lock by itself, and has no server to wait for."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return engine.connect()
            except OperationalError:
                if engine.name == "sqlite" or time.monotonic() >= deadline:
                    raise
            time.sleep(AGAIN_SECONDS)

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
        except sqlite3.Error as error:  # while a connection is made SQLAlchemy does not wrap them
            raise StoreUnavailable(f"{self.name}: {_explain(error)}") from error


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
        _write_ahead(connection, patience)
        # FULL: a commit survives a power cut too, for one flush of the disk.
        for setting in ("synchronous = FULL", "foreign_keys = ON", "cache_size = -65536"):
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later could not wait for a lock: the writer's is
        # asked for at once.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Turn on write-ahead logging, which a new file does not have yet.

    Where another process is about to write to such a file, SQLite says at once that it is locked, whatever
    its timeout: it fears that each waits for the other.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(AGAIN_SECONDS)


def _postgresql_engine(url: URL, patience: float) -> Engine:
    try:
        return create_engine(
            url,
            pool_size=POOL,
            max_overflow=POOL,
            pool_timeout=patience,
            pool_pre_ping=True,
            connect_args={
                **LIVELINESS,
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
