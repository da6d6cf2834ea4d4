"""The live page of the embedded service, or of one elsewhere."""

from __future__ import annotations

import signal
import threading
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.output import error_console
from nas.cli.settings import open_client, settings_of
from nas.errors import Unauthenticated

if TYPE_CHECKING:
    from nas.client import Client

__all__ = ["PAGE_ADDRESS", "web"]

PAGE_ADDRESS = "127.0.0.1:7072"


def web(
    context: typer.Context,
    bind: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="NAS_BIND_WEB", help="Address of the page.")
    ] = PAGE_ADDRESS,
    show: Annotated[bool, typer.Option("--open", help="Open it in this machine's browser.")] = False,
) -> None:
    """Show jobs, fronts and devices as they change, in a browser, until stopped.

    Jobs that are submitted there run in this process, or on the service of --server. Of a service that wants
    a token, the page asks for one where none was given.

    [dim]nas web --open[/dim]
    [dim]nas --server lab:7070 web[/dim]
    """
    from nas.web.server import WebServer

    stopped = threading.Event()
    with ExitStack() as opened:
        client = opened.enter_context(open_client(context))
        login = _wants_token(client)
        server = WebServer(_connecting(context, client, login), bind, login=login)
        url = opened.enter_context(server).url

        def stop(number: int, frame: FrameType | None) -> None:
            signal.signal(number, signal.SIG_DFL)  # a second one ends this at once
            stopped.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        console = error_console()
        console.print(f"the page is at [bold]{url}[/]; Ctrl-C ends it")
        if show:
            webbrowser.open(url)
        stopped.wait()
        console.print("stopping: jobs that run here stop at their last completed unit of work…")


def _wants_token(client: Client) -> bool:
    try:
        client.jobs(1)
    except Unauthenticated:
        return True
    return False


def _connecting(context: typer.Context, client: Client, login: bool) -> Callable[[str | None], Client]:
    from nas.client import connect

    settings = settings_of(context)
    if not login:
        return lambda token: client
    return lambda token: connect(settings.server, token=token, tls=settings.tls)
