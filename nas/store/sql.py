"""The store on SQLite or PostgreSQL."""

from __future__ import annotations

from sqlalchemy.engine import URL

from nas.store.database import Database
from nas.store.sql_jobs import JobQueries
from nas.store.sql_points import PointQueries
from nas.store.sql_shared import SharedQueries

__all__ = ["SqlStore"]


class SqlStore(JobQueries, PointQueries, SharedQueries):
    """See `Store`.

    Args:
        url: of the database.
        patience: seconds to wait for a lock before `StoreUnavailable`.
    """

    def __init__(self, url: URL, patience: float) -> None:
        self._database = Database(url, patience)

    def close(self) -> None:
        """See `Store.close`."""
        self._database.close()
