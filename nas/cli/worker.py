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
from workers.limits import SECONDS

__all__ = ["worker"]


def worker(
    context: typer.Context,
    connect: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address of the service, for workers.")],
    device: Annotated[
        str, typer.Option(help="Name by which jobs refer to this machine.", show_default="the host's name")
    ] = platform.node(),
    model_memory: Annotated[
        float | None,
        typer.Option(
            min=0.001, metavar="GIB", help="Memory that one model may take.", show_default="this machine's"
        ),
    ] = None,
    model_seconds: Annotated[
        float, typer.Option(min=1, help="Seconds that the measuring of one model may take.")
    ] = SECONDS,
) -> None:
    """Measure models on this machine for a service, until stopped.

    The worker dials out, so it works behind a firewall, and it reconnects when the service restarts.
    Its token is read from [bold]$NAS_TOKEN[/bold]; [bold]nas --authority FILE worker …[/bold] uses TLS.

    [dim]nas worker --connect 192.168.0.10:7071 --device kitchen-laptop[/dim]
    """
    from workers.agent import run_worker
    from workers.connection import check_address
    from workers.limits import limits_of
    from workers.target import Target

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    settings = settings_of(context)
    if settings.token is not None:
        authorization(settings.token)  # a token that no call can carry would be tried for ever
    try:
        Target(device)
    except ValueError as error:
        raise InvalidSpec([Problem("--device", str(error))]) from error
    try:
        check_address(connect)
    except ValueError as error:
        raise InvalidSpec([Problem("--connect", str(error))]) from error
    limits = limits_of(model_memory, model_seconds)
    run_worker(connect, device, token=settings.token, tls=settings.tls, limits=limits)
