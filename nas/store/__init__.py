"""The only door to the database."""

from pathlib import Path

from nas.store.store import Forgotten, Store

__all__ = ["Forgotten", "open_store"]


def open_store(where: str | Path, *, patience: float = 10.0) -> Store:
    """Open a database, made where there is none and brought to this version's schema.

    Args:
        where: a folder (its file is ``nas.db``), ``sqlite:///FILE`` or
            ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE``.
        patience: seconds that a method waits for a lock before `StoreUnavailable`.

    Raises:
        InvalidSpec: the address is not of these forms.
        StoreUnavailable: it cannot be opened, or was written by a newer version.
    """
    # Here, so that a process that only names the interface (one that evaluates, say) loads no database.
    from nas.store.address import url_of
    from nas.store.sql import SqlStore

    return SqlStore(url_of(where), patience)
