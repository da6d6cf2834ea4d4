"""The page's server, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from nas.errors import InvalidSpec, ServiceUnavailable
from nas.service.api import Service
from nas.web.access import LOOPBACK, Access
from nas.web.app import page_application
from searchspaces.errors import Problem

__all__ = ["WebServer"]

START_SECONDS = 15.0
GRACE_SECONDS = 1


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
        host, _, port = bind.rpartition(":")
        if host not in LOOPBACK and not (login and certificate):
            needed = "with --tokens, --certificate and --key" if not login else "with --certificate and --key"
            accepted = f"accepted: {', '.join(LOOPBACK)}, or {needed}"
            raise InvalidSpec([Problem("web", f"{bind} can be reached from elsewhere; {accepted}")])
        if not (port.isascii() and port.isdigit()):
            raise InvalidSpec([Problem("web", f"{bind!r} is not an address; accepted: HOST:PORT")])
        self._host, self._port = host, int(port)
        self._scheme = "https" if certificate else "http"
        self._access = Access(connect, login=login)
        self._server = uvicorn.Server(
            uvicorn.Config(
                page_application(self._access),
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self.url = ""

    def start(self) -> str:
        """Listen.

        Returns:
            The page's URL.

        Raises:
            ServiceUnavailable: the address cannot be listened on.
        """
        family = socket.AF_INET6 if self._host.startswith("[") else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host.strip("[]"), self._port))
        except OSError as error:
            listener.close()
            raise ServiceUnavailable(f"cannot listen on {self._host}:{self._port}: {error}") from error
        self._socket = listener
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise ServiceUnavailable(f"the page's server did not start on {self._host}:{self._port}")
            time.sleep(0.01)
        self.url = f"{self._scheme}://{self._host}:{listener.getsockname()[1]}/"
        return self.url

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        if self._socket is not None:
            self._socket.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        assert self._socket is not None
        self._server.run(sockets=[self._socket])
