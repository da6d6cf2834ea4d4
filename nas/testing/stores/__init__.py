"""The contract of stores (`nas.store.store`).

A store has no name by which it is found: derive a class and give it a fixture that opens an empty one::

    from nas.testing.stores import StoreContract

    class TestMine(StoreContract):
        @pytest.fixture
        def store(self, tmp_path):
            with closing(MyStore(tmp_path)) as store:
                yield store
"""

from nas.testing.stores.jobs import JobContract
from nas.testing.stores.kept import OfJobContract
from nas.testing.stores.points import PointContract
from nas.testing.stores.shared import SharedContract

__all__ = ["StoreContract"]


class StoreContract(JobContract, OfJobContract, SharedContract, PointContract):
    """What every store promises. Each test has a `store` of its own, which is empty."""
