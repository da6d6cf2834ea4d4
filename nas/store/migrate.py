"""Bringing a database to the schema of this code."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from nas.errors import StoreUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["is_current", "migrate", "revisions"]

_ALEMBIC = threading.Lock()
"""Alembic knows one migration at a time in a process."""

_LOCK = 0x6E6173
"""PostgreSQL's advisory lock under which one process at a time migrates."""

_SCRIPTS = Path(__file__).parent / "migrations"


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def revisions() -> list[str]:
    """Every schema that was ever shipped, oldest first: by the names of the scripts, for every command opens
    a database, and hardly one has to migrate it and so to load Alembic."""
    return sorted(file.name.partition("_")[0] for file in _SCRIPTS.glob("versions/r*.py"))


def is_current(connection: Connection) -> bool:
    """Whether the database is of this code's schema.

    Raises:
        StoreUnavailable: it is of a schema that this code does not know.
    """
    known, current = revisions(), None
    if inspect(connection).has_table("alembic_version"):
        current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if current is not None and current not in known:
        raise StoreUnavailable(
            f"{connection.engine.url.render_as_string(hide_password=True)} has schema {current}, written by "
            f"a newer version of this program; this one knows up to {known[-1]}: update nas-service"
        )
    return current == known[-1]


def migrate(connection: Connection, to: str = "head") -> None:
    """Take the database to revision `to`, within the connection's transaction; a concurrent migration
    of the same database is waited for."""
    from alembic import command

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = _config()
    config.attributes["connection"] = connection
    with _ALEMBIC:
        command.upgrade(config, to)
