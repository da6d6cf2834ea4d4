"""One home, one server and one browser for each module."""

from __future__ import annotations

import http.client
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from page_home import store_page_jobs

from nas.service.running.embedded import EmbeddedService
from nas.web.server import WebServer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT_MS = 90_000
"""Machines that run tests are busy."""


@dataclass
class Site:
    """A served page.

    Attributes:
        ids: of jobs, by what they are for.
    """

    url: str
    service: EmbeddedService
    ids: dict[str, str]
    home: Path

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").rstrip("/")

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; a body is sent as JSON, from the page's own origin unless told."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if method == "POST":
            sent = {"origin": self.url.rstrip("/"), "content-type": "application/json", **sent}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            kept = {name.lower(): value for name, value in response.getheaders()}
            return response.status, kept, response.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("home")
    ids = store_page_jobs(home, 160)
    with EmbeddedService(home) as service, WebServer(lambda token: service, "127.0.0.1:0") as server:
        yield Site(server.url, service, ids, home)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here; Debian's: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    # Chromium's sandbox does not start as root, which CI is.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


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
