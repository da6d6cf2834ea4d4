"""The page's server, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from nas.errors import InvalidSpec, as_nas_error
from nas.service.api import Service
from nas.web.access import Access
from nas.web.app import page_application
from searchspaces.errors import Problem
from workers.errors import ListenFailed
from workers.http_server import LOOPBACK, HttpServer

__all__ = ["WebServer"]


class WebServer:
    """Serves the page until stopped.

    Args:
        connect: opens the service for a token; for None where there are no tokens.
        bind: ``HOST:PORT`` to listen on; port 0 for an unused one.
        login: whether whoever comes has to show a token.
        certificate, key: files for HTTPS, which an address that others can reach needs.

    Attributes:
        url: of the page, once started.

    Raises:
        InvalidSpec: others could reach the page without a token, or could hear one.
    """

    def __init__(
        self,
        connect: Callable[[str | None], Service],
        bind: str,
        *,
        login: bool = False,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        if bind.rpartition(":")[0] not in LOOPBACK and not (login and certificate):
            needed = "with --tokens, --certificate and --key" if not login else "with --certificate and --key"
            accepted = f"accepted: {', '.join(LOOPBACK)}, or {needed}"
            raise InvalidSpec([Problem("web", f"{bind} can be reached from elsewhere; {accepted}")])
        access = Access(connect, login=login)
        try:
            self._server = HttpServer(page_application(access), bind, certificate, key)
        except ValueError as error:
            raise InvalidSpec([Problem("web", str(error))]) from error
        self.url = ""

    def start(self) -> str:
        """Listen.

        Returns:
            The page's URL.

        Raises:
            ServiceUnavailable: the address cannot be listened on.
        """
        try:
            self._server.start()
        except ListenFailed as error:
            raise as_nas_error(error) from error
        self.url = f"{self._server.scheme}://{self._server.host}:{self._server.port}/"
        return self.url

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
