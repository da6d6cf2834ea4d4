"""What holds for a whole invocation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from nas.client import Client
    from workers.tls import ClientTls

__all__ = ["Settings", "open_client", "settings_of"]


@dataclass
class Settings:
    """Set by the options as they are read; `main` reads it when an error ends the invocation.

    Attributes:
        json: a program reads: an error is JSON. `main` sets it before anything is read, for what is wrong
            with the options is an error too.
        debug: show the traceback of an error.
        home: folder of the embedded service; None for its own default.
        server: ``HOST:PORT`` of a service elsewhere; None for the embedded one.
        token: shown to that service.
        tls: files for an encrypted connection to it; None for plain text.
    """

    json: bool = False
    debug: bool = False
    home: Path | None = None
    server: str | None = None
    token: str | None = None
    tls: ClientTls | None = None


def settings_of(context: typer.Context) -> Settings:
    """Those of this invocation."""
    found = context.find_object(Settings)
    return context.ensure_object(Settings) if found is None else found


def open_client(context: typer.Context, ray_address: str | None = None) -> Client:
    """The one door to the service; a context manager.

    Args:
        ray_address: for a command that runs jobs, where it was given one.
    """
    from nas.client import connect

    settings = settings_of(context)
    return connect(
        settings.server,
        token=settings.token,
        tls=settings.tls,
        home=settings.home,
        ray_address=ray_address,
    )
