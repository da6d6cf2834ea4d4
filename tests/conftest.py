"""Tests run beside each other and beside other programs: none computes with several threads of its own
accord, and no property has a deadline."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Before numpy and torch are imported; what a test starts inherits it.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that a test runs in this process may log to stderr, which is another one in the next test."""
    loggers = [logging.getLogger(name) for name in (None, "nas", "workers")]
    before = [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers = handlers
        logger.setLevel(level)
        logger.propagate = propagate


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and give it as long as it needs beside something else."""
    items.sort(key=lambda item: item.get_closest_marker("job") is None)
    for item in items:
        if item.get_closest_marker("job"):
            item.add_marker(pytest.mark.timeout(900))
