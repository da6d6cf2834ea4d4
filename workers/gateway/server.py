"""The gateway: an HTTP server for browsers on one side, workers' sessions with a service on the other."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from workers.capabilities import Capabilities
from workers.connection import Connection, Inbox, check_address
from workers.gateway.app import gateway_application
from workers.gateway.links import Links
from workers.http_server import LOOPBACK, HttpServer
from workers.tls import ClientTls

__all__ = ["Gateway"]


class Gateway:
    """Lets browsers join a service as workers, until stopped. Whether there is an engine to give to them is
    asked of `workers.gateway.engine.check_engine`.

    Args:
        service: where its workers connect, ``HOST:PORT``.
        bind: ``HOST:PORT`` to listen on for browsers; port 0 for an unused one.
        device: the name that the page proposes to browsers.
        token: shown to the service; browsers never learn it.
        tls: towards the service; None for plain text.
        certificate, key: files for HTTPS, without which only this machine is listened to.
        fallback_adapters: let browsers without a GPU have WebGPU computed by their processor; for tests.

    Raises:
        ValueError: an address is none, or others could reach the gateway over plain HTTP.
    """

    def __init__(
        self,
        service: str,
        bind: str,
        *,
        device: str = "phone",
        token: str | None = None,
        tls: ClientTls | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        fallback_adapters: bool = False,
    ) -> None:
        check_address(service)
        if bind.rpartition(":")[0] not in LOOPBACK and certificate is None:
            raise ValueError(
                f"{bind} can be reached from elsewhere, and browsers measure over HTTPS alone; accepted: "
                f"{', '.join(LOOPBACK)}, or a certificate and its key"
            )
        self._links = Links()
        connect = partial(_connect, service, token, tls)
        settings = {"device": device, "fallback_adapters": fallback_adapters}
        application = gateway_application(connect, self._links, settings)
        self._server = HttpServer(application, bind, certificate, key)

    def start(self) -> None:
        """Listen.

        Raises:
            ListenFailed: the address cannot be listened on.
        """
        self._server.start()

    def stop(self) -> None:
        """End every session and answer nobody any more."""
        self._server.stop()

    def link(self, host: str | None = None) -> str:
        """A URL that admits one browser, within ten minutes; once started.

        Args:
            host: the name or address under which browsers reach this machine; what is listened on where None.
        """
        return f"{self._server.scheme}://{host or self._server.host}:{self._server.port}/#{self._links.new()}"

    def admits(self, link: str) -> bool:
        """Whether a link that it gave still admits a browser."""
        return self._links.admits(link.rpartition("#")[2])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _connect(
    service: str, token: str | None, tls: ClientTls | None, here: Capabilities, inbox: Inbox
) -> Connection:
    return Connection(service, here, token, inbox, tls)
