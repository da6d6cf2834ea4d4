import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def one_processor() -> Iterator[None]:
    """Ray uses one processor, so that a job has one evaluation process: other tests run beside it. Several
    are what `tests/nas/controller/test_evaluator.py` is about."""
    os.environ["RAY_OVERRIDE_RESOURCES"] = '{"CPU": 1}'
    yield
    del os.environ["RAY_OVERRIDE_RESOURCES"]
