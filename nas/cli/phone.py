"""Phones, and any other browser, as devices."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.output import result_console
from nas.cli.settings import settings_of
from nas.errors import InvalidSpec
from nas.service.identity import authorization
from searchspaces.errors import Problem

if TYPE_CHECKING:
    from workers.gateway.server import Gateway

__all__ = ["phone"]

LOOK_SECONDS = 0.5
CERTIFICATES = "phone-certificates"


def phone(
    context: typer.Context,
    connect: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", envvar="NAS_WORKERS", help="Address of the service, for workers."),
    ] = "127.0.0.1:7071",
    bind: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            envvar="NAS_BIND_PHONES",
            help="Address for browsers: beyond this machine 0.0.0.0:7073, over HTTPS.",
        ),
    ] = "127.0.0.1:7073",
    host: Annotated[
        str | None,
        typer.Option(help="Name or address of this machine in links.", show_default="of its network"),
    ] = None,
    device: Annotated[str, typer.Option(help="The name that a browser is offered.")] = "phone",
    certificate: Annotated[
        Path | None,
        typer.Option(help="For HTTPS.", show_default="one made here, which browsers warn of once"),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The key of the certificate.")] = None,
) -> None:
    """Let phones measure for a service: shows a link, as a code to scan, that admits one browser.

    A browser that joins is a worker like any other, with the runtimes [bold]onnxruntime-web[/] and, where it
    has a GPU, [bold]onnxruntime-webgpu[/]. The token for the service is read from [bold]$NAS_TOKEN[/].

    [dim]nas phone --bind 0.0.0.0:7073[/dim]
    [dim]nas --authority certs/authority.pem phone --connect lab:7071 --bind 0.0.0.0:7073[/dim]
    """
    from workers.gateway.engine import check_engine
    from workers.gateway.server import Gateway
    from workers.http_server import LOOPBACK
    from workers.target import Target

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    check_engine()
    settings = settings_of(context)
    if settings.token is not None:
        authorization(settings.token)  # a token that no call can carry would be tried for ever
    if (certificate is None) != (key is None):
        raise InvalidSpec([Problem("--certificate", "it is given together with --key")])
    if not bind.rpartition(":")[0]:
        raise InvalidSpec([Problem("--bind", f"{bind!r} is not an address; accepted: HOST:PORT")])
    beyond = bind.rpartition(":")[0] not in LOOPBACK
    named = host or (_own_address() if bind.startswith("0.0.0.0:") else bind.rpartition(":")[0])
    if beyond and certificate is None:
        certificate, key = _certificate(settings.home or Path(".nas"), named)
    try:
        Target(device)
        gateway = Gateway(
            connect,
            bind,
            device=device,
            token=settings.token,
            tls=settings.tls,
            certificate=certificate,
            key=key,
        )
    except ValueError as error:
        raise InvalidSpec([Problem("phone", str(error))]) from error
    with ExitStack() as opened:
        opened.enter_context(gateway)
        _offer_links(gateway, named, beyond)


def _offer_links(gateway: Gateway, host: str, beyond: bool) -> None:
    """Show a link, and another whenever the last one admits nobody any more, until stopped."""
    stopped: SimpleQueue[None] = SimpleQueue()  # its put may run in a signal handler

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends this at once
        stopped.put(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    link = ""
    while True:
        if not gateway.admits(link):
            link = gateway.link(host)
            _show(link, beyond)
        try:
            return stopped.get(timeout=LOOK_SECONDS)
        except Empty:
            continue


def _show(link: str, beyond: bool) -> None:
    import segno

    console = result_console()
    if console.is_terminal and beyond:
        segno.make(link, micro=False).terminal(compact=True)
    console.print(link, markup=False, soft_wrap=True)
    reach = "" if beyond else "; on this machine alone: phones reach it with --bind 0.0.0.0:7073"
    console.print(f"admits one browser within ten minutes{reach}; Ctrl-C ends it", markup=False)


def _own_address() -> str:
    """This machine's address in its network; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of no machine (RFC 5737)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _certificate(home: Path, host: str) -> tuple[Path, Path]:
    """One for this host, made once: a browser that accepted it does not warn again."""
    from nas.service.server.certificates import make_certificates

    folder = home / CERTIFICATES / host
    certificate, key = folder / "server.pem", folder / "server.key"
    if not (certificate.is_file() and key.is_file()):
        make_certificates(folder, [host, "localhost", "127.0.0.1"])
    return certificate, key
