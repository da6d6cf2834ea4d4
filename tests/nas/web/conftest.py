"""One home, one server and one browser for each module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from page_home import store_page_jobs
from page_site import Site

from nas.service.running.embedded import EmbeddedService
from nas.web.server import WebServer

WAIT_MS = 90_000
"""Machines that run tests are busy."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("home")
    ids = store_page_jobs(home, 160)
    with EmbeddedService(home) as service, WebServer(lambda token: service, "127.0.0.1:0") as server:
        yield Site(server.url, service, ids, home)


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Any]) -> Any:
    return launch()


@pytest.fixture
def tab(browser: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Opens a tab at a path of the site; what a page throws fails the test."""
    opened: list[Any] = []
    thrown: list[str] = []

    def open_tab(path: str = "", **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **settings)
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: thrown.append(str(error)))
        page.goto(site.url + path)
        page.locator("#view h1").first.wait_for()
        return page

    yield open_tab
    for context in opened:
        context.close()
    assert not thrown
