"""Every store keeps the contract: in memory, SQLite on a disk, and a PostgreSQL server (`conftest.py`)."""

from nas.testing.stores import StoreContract


class TestStores(StoreContract):
    """Of the fixture `store`."""
