"""A service of workers, a gateway to it, and browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.service.server.certificates import make_certificates
from workers.errors import EngineMissing
from workers.gateway.engine import check_engine
from workers.gateway.server import Gateway
from workers.server import WorkerServer

WAIT_MS = 90_000
"""Machines that run tests are busy."""


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    try:
        check_engine()
    except EngineMissing as error:
        pytest.skip(str(error))


@pytest.fixture
def service() -> Iterator[WorkerServer]:
    server = WorkerServer(no_worker_seconds=30.0)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def gateway(service: WorkerServer) -> Iterator[Gateway]:
    with Gateway(service.address, "127.0.0.1:0", device="pocket") as opened:
        yield opened


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Any]) -> Any:
    return launch("--host-resolver-rules=MAP phones.example 127.0.0.1")


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a link as a phone that nobody used before; what its page throws fails the test."""
    opened: list[Any] = []
    thrown: list[str] = []

    def open_tab(link: str, *, other: Any = None, before: str = "", **settings: Any) -> Any:
        context = (other or browser).new_context(viewport={"width": 390, "height": 844}, **settings)
        opened.append(context)
        if before:
            context.add_init_script(before)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: thrown.append(str(error)))
        page.goto(link)
        page.locator("#state:not([data-state=looking])").wait_for()
        return page

    yield open_tab
    for context in opened:
        context.close()
    assert not thrown


@pytest.fixture
def joined(tab: Callable[..., Any], gateway: Gateway) -> Callable[..., Any]:
    """Opens a link, the gateway's own unless told, and joins."""

    def join(link: str | None = None, **settings: Any) -> Any:
        page = tab(link or gateway.link(), **settings)
        page.get_by_role("button", name="Join").click()
        page.locator("#state[data-state=free], #state[data-state=measuring]").wait_for()
        return page

    return join


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_certificates(tmp_path_factory.mktemp("certificates"), ["phones.example", "127.0.0.1"])
