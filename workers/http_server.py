"""An ASGI application served by a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn

from workers.errors import ListenFailed

__all__ = ["LOOPBACK", "HttpServer"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names under which nobody but this machine reaches it."""

START_SECONDS = 15.0
GRACE_SECONDS = 1
"""For answers that are on their way when it stops; streams never end by themselves."""


class HttpServer:
    """Serves an application until stopped.

    Args:
        application: an ASGI application.
        bind: ``HOST:PORT`` to listen on; port 0 for an unused one.
        certificate, key: files for HTTPS; plain HTTP without.

    Attributes:
        host, port: that are listened on, once started.

    Raises:
        ValueError: `bind` is no address.
    """

    def __init__(
        self, application: Any, bind: str, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        self.host, _, port = bind.rpartition(":")
        if not (self.host and port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise ValueError(f"{bind!r:.80} is not an address; accepted: HOST:PORT")
        self.port = int(port)
        self.scheme = "https" if certificate else "http"
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Listen.

        Raises:
            ListenFailed: the address cannot be listened on.
        """
        family = socket.AF_INET6 if self.host.startswith("[") else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host.strip("[]"), self.port))
        except OSError as error:
            listener.close()
            raise ListenFailed(f"cannot listen on {self.host}:{self.port}: {error}") from error
        self._socket = listener
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise ListenFailed(f"the HTTP server did not start on {self.host}:{self.port}")
            time.sleep(0.01)
        self.port = listener.getsockname()[1]

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        assert self._socket is not None
        self._server.run(sockets=[self._socket])
