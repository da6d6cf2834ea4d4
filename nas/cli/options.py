"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.cli.settings import settings_of
from nas.errors import InvalidSpec
from searchspaces.errors import Problem
from workers.target import Target

__all__ = ["Job", "Json", "Maximum", "RayAddress", "parse_bounds", "parse_targets"]


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


def parse_bounds(written: list[str] | None) -> dict[str, float]:
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


def parse_targets(option: str, texts: list[str]) -> list[Target]:
    """Targets from their texts.

    Raises:
        InvalidSpec: every text that is none, or comes twice.
    """
    targets: list[Target] = []
    problems = []
    for text in texts:
        try:
            target = Target.parse(text)
        except ValueError as error:
            problems.append(Problem(option, str(error)))
            continue
        if target in targets:
            problems.append(Problem(option, f"{target} is listed twice"))
        targets.append(target)
    if problems:
        raise InvalidSpec(problems)
    return targets
