"""The only door to the database. Importing this package needs no sqlalchemy."""

from __future__ import annotations

from pathlib import Path

from nas.errors import StoreUnavailable
from nas.store.store import Store, SupernetRecord

__all__ = ["Store", "SupernetRecord", "open_store"]


def open_store(where: str | Path) -> Store:
    """Open a store, making it or bringing it to the newest schema where needed.

    Args:
        where: a folder for an embedded store (SQLite, ``nas.db`` in it), or a URL of SQLAlchemy's form:
            ``sqlite:///PATH`` or ``postgresql+psycopg://USER@HOST/DATABASE``.

    Raises:
        StoreUnavailable: it cannot be opened, or is of a newer schema.
    """
    from nas.store.sql import SqlStore

    if isinstance(where, str) and "://" in where:
        return SqlStore(where)
    folder = Path(where)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"cannot make {folder}: {error}") from error
    return SqlStore(f"sqlite:///{folder / 'nas.db'}")
