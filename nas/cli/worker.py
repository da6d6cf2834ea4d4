"""Lending this machine to a service as a device that measures."""

from __future__ import annotations

import logging
import platform
import sys
from typing import Annotated

import typer

from nas.cli.settings import settings_of
from nas.errors import InvalidSpec
from nas.service.identity import authorization
from searchspaces.errors import Problem

__all__ = ["worker"]


def worker(
    context: typer.Context,
    connect: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address of the service, for workers.")],
    device: Annotated[
        str, typer.Option(help="Name by which jobs refer to this machine.", show_default="the host's name")
    ] = platform.node(),
) -> None:
    """Measure models on this machine for a service, until stopped.

    The worker dials out, so it works behind a firewall, and it reconnects when the service restarts.
    Its token is read from [bold]$NAS_TOKEN[/bold]; [bold]nas --authority FILE worker …[/bold] uses TLS.

    [dim]nas worker --connect 192.168.0.10:7071 --device kitchen-laptop[/dim]
    """
    from workers.agent import run_worker
    from workers.target import Target

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    settings = settings_of(context)
    if settings.token is not None:
        authorization(settings.token)  # a token that no call can carry would be tried for ever
    try:
        Target(device)
    except ValueError as error:
        raise InvalidSpec([Problem("--device", str(error))]) from error
    run_worker(connect, device, token=settings.token, tls=settings.tls)
