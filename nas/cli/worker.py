"""Lending this machine to a service as a device that measures."""

from __future__ import annotations

import logging
import os
import platform
import sys
from typing import Annotated

import typer

__all__ = ["worker"]


def worker(
    connect: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the service listens.")],
    device: Annotated[
        str, typer.Option(help="The name that jobs know this machine by.", show_default="the host's name")
    ] = platform.node(),
) -> None:
    """Measure models on this machine for a service, until stopped.

    The worker dials out, so it also works behind a firewall; it reconnects when the service restarts.
    A secret that the service wants is read from [bold]$NAS_TOKEN[/bold].

    [dim]nas worker --connect 192.168.0.10:7070 --device kitchen-laptop[/dim]
    """
    from workers.agent import run_worker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    run_worker(connect, device, token=os.environ.get("NAS_TOKEN"))
