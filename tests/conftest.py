"""Tests run beside each other and beside other programs: none computes with several threads of its own
accord, and no property has a deadline."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Before numpy and torch are imported; what a test starts inherits it.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Any]]:
    """Starts a browser with the given flags; all of them end with the module."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here; Debian's: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    # Chromium's sandbox does not start as root, which CI is.
    always = ["--no-sandbox"] if os.geteuid() == 0 else []
    started: list[Any] = []
    with playwright.sync_playwright() as running:

        def start(*flags: str) -> Any:
            started.append(running.chromium.launch(executable_path=CHROMIUM, args=[*always, *flags]))
            return started[-1]

        yield start
        for browser in started:
            browser.close()


@pytest.fixture(scope="session")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests that are not about exporting keep exported blocks: each is made once in a run, by the
    process that needs it first."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    (folder / "blocks").mkdir(exist_ok=True)
    return folder / "blocks"


@pytest.fixture(scope="session")
def make_home(tmp_path_factory: pytest.TempPathFactory, blocks: Path) -> Callable[[], Path]:
    """Makes a home with nothing in it but the blocks that other tests' jobs have exported."""

    def make() -> Path:
        home = tmp_path_factory.mktemp("home")
        (home / "blocks").symlink_to(blocks)
        return home

    return make


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
