"""Arguments and options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli import completion
from nas.errors import InvalidSpec
from searchspaces.errors import Problem
from workers.target import Target

if TYPE_CHECKING:
    from nas.front import Front

__all__ = [
    "Bounds",
    "Job",
    "Json",
    "Maximum",
    "Minimum",
    "OptionalJob",
    "RayAddress",
    "Shared",
    "Space",
    "parse_bounds",
    "parse_targets",
]


Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output; errors as JSON too."),
]
Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="A job's id, the beginning of one, or [bold]latest[/bold].",
        autocompletion=completion.jobs,
    ),
]
OptionalJob = Annotated[
    str | None,
    typer.Argument(
        metavar="JOB",
        help="A job's id, the beginning of one, or [bold]latest[/bold].",
        autocompletion=completion.jobs,
    ),
]
Space = Annotated[
    str, typer.Option(help="A space's name, or its YAML file.", autocompletion=completion.spaces)
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        envvar="NAS_RAY_ADDRESS",
        help="Train and evaluate on this Ray cluster, [bold]ray://HOST:PORT[/], rather than here.",
    ),
]
Shared = Annotated[
    bool,
    typer.Option("--shared", help="Let everybody who uses the service look at the job and its models."),
]
Maximum = Annotated[
    list[str] | None,
    typer.Option(
        "--max",
        metavar="NAME=VALUE",
        help="Upper bound on what should be small: [bold]latency_ms=8[/bold], latency_ms@TARGET=8 (a device, "
        "or any part of one target's text), params=3e6, macs, state_bytes, a loss. Repeatable.",
    ),
]
Minimum = Annotated[
    list[str] | None,
    typer.Option(
        "--min",
        metavar="NAME=VALUE",
        help="Lower bound on what should be large: [bold]accuracy=0.9[/bold]. Repeatable.",
    ),
]


@dataclass(frozen=True)
class Bounds:
    """What the bounds of a command line say.

    Attributes:
        values: by name, upper and lower bounds alike: no worse than this.
        options: by name, the option that gave it.
    """

    values: dict[str, float]
    options: dict[str, str]

    def check(self, front: Front) -> None:
        """Check against what the front compares.

        Raises:
            InvalidSpec: a name is not known, or is bounded from the wrong side; the right option is named.
        """
        from nas.objectives import Direction

        problems = []
        for name, value in self.values.items():
            (first, *_) = front.bounded({name: value})
            right = "--max" if first.direction is Direction.MIN else "--min"
            if self.options[name] != right:
                wanted = "small" if first.direction is Direction.MIN else "large"
                message = f"{name} should be {wanted}; accepted: {right} {name}={value:g}"
                problems.append(Problem(self.options[name], message))
        if problems:
            raise InvalidSpec(problems)


def parse_bounds(maximum: list[str] | None, minimum: list[str] | None) -> Bounds:
    """Bounds from the ``NAME=VALUE`` texts of `--max` and `--min`.

    Raises:
        InvalidSpec: a text has another form, or a name is given twice; every problem at once. Names are
            checked by `Bounds.check`, against a front, which knows its objectives.
    """
    found = Bounds({}, {})
    problems = []
    for option, texts in (("--max", maximum or []), ("--min", minimum or [])):
        for text in texts:
            name, separator, value = text.partition("=")
            try:
                number = float(value)
            except ValueError:
                number = float("nan")
            if not (name and separator and 0 < number < float("inf")):
                message = f"{text!r} is not a bound; accepted: NAME=VALUE with a number above 0"
                problems.append(Problem(option, message))
            elif name in found.values:
                problems.append(Problem(option, f"{name} is bounded twice"))
            else:
                found.values[name], found.options[name] = number, option
    if problems:
        raise InvalidSpec(problems)
    return found


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
