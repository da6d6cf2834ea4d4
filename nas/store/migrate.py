"""Bringing a database to the schema of this code."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from nas.errors import StoreUnavailable

__all__ = ["is_current", "migrate", "revisions"]

_ALEMBIC = threading.Lock()
"""Alembic knows one migration at a time in a process."""

_LOCK = 0x6E6173
"""PostgreSQL's advisory lock under which one process at a time migrates."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def revisions() -> list[str]:
    """Every schema that was ever shipped, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def is_current(connection: Connection) -> bool:
    """Whether the database is of this code's schema.

    Raises:
        StoreUnavailable: it is of a schema that this code does not know.
    """
    known = revisions()
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise StoreUnavailable(
            f"{connection.engine.url.render_as_string(hide_password=True)} has schema {current}, written by "
            f"a newer version of this program; this one knows up to {known[-1]}: update nas-service"
        )
    return current == known[-1]


def migrate(connection: Connection, to: str = "head") -> None:
    """Take the database to revision `to`, within the connection's transaction; a concurrent migration
    of the same database is waited for."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = _config()
    config.attributes["connection"] = connection
    with _ALEMBIC:
        command.upgrade(config, to)
