"""What holds for a whole invocation, and the options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.errors import InvalidSpec
from searchspaces.errors import Problem

if TYPE_CHECKING:
    from nas.client import Client
    from workers.tls import ClientTls

__all__ = ["Job", "Json", "Maximum", "RayAddress", "Settings", "bounds_from", "open_client", "settings_of"]


@dataclass
class Settings:
    """Set by the options as they are read; `main` reads it when an error ends the invocation.

    Attributes:
        json: a program reads: the answer, and an error, are JSON.
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


def _note_json(context: typer.Context, value: bool) -> bool:
    settings = settings_of(context)
    settings.json = settings.json or value
    return value


Json = Annotated[
    bool, typer.Option("--json", help="Answer (and report errors) as JSON.", callback=_note_json)
]
Job = Annotated[
    str,
    typer.Argument(metavar="JOB", help="Id of a job, the beginning of one, or [bold]latest[/bold]."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        envvar="NAS_RAY_ADDRESS",
        help="Of a Ray cluster that trains and evaluates, [bold]ray://HOST:PORT[/]; none: this machine.",
    ),
]
Maximum = Annotated[
    list[str] | None,
    typer.Option(
        "--max",
        metavar="NAME=VALUE",
        help="Bound, e.g. [bold]latency_ms=8[/bold], latency_ms@TARGET=8 (a device or any part of one "
        "target's text), params=3e6, macs, state_bytes, quality. Repeatable.",
    ),
]


def bounds_from(written: list[str] | None) -> dict[str, float]:
    """Bounds by name from ``NAME=VALUE`` texts.

    Raises:
        InvalidSpec: a text has another form, or a name is given twice; every problem at once. Names are
            checked by the front, which knows its objectives.
    """
    bounds: dict[str, float] = {}
    problems = []
    for text in written or []:
        name, separator, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not (name and separator and 0 < number < float("inf")):
            problems.append(
                Problem("--max", f"{text!r} is not a bound; accepted: NAME=VALUE with a number above 0")
            )
        elif name in bounds:
            problems.append(Problem("--max", f"{name} is bounded twice"))
        else:
            bounds[name] = number
    if problems:
        raise InvalidSpec(problems)
    return bounds
