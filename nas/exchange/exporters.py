"""The other tools by name, and what is said of a point to all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from nas.errors import InvalidSpec
from nas.front import Front
from nas.point import Point
from searchspaces.errors import Problem

__all__ = ["EXPORTERS", "Exporter", "destination_url", "facts", "genes", "get_exporter"]

Exporter = Callable[[Front, str], str]
"""Writes every point of a front to a place; answers with how to open it there."""

EXPORTERS = ("optuna", "parquet", "mlflow")
"""Modules of this package, each with an `export`; what a module needs is an extra of the distribution."""


def get_exporter(name: str) -> Exporter:
    """By its name.

    Raises:
        InvalidSpec: there is none of that name, or what it needs is not installed.
    """
    if name not in EXPORTERS:
        accepted = ", ".join(EXPORTERS)
        raise InvalidSpec([Problem("--to", f"no form called {name!r}; accepted: {accepted}")])
    try:
        exporter: Exporter = import_module(f"nas.exchange.{name}").export
    except ImportError as error:
        wanted = f"{error.name} is not installed; accepted after: pip install 'nas-service[{name}]'"
        raise InvalidSpec([Problem("--to", wanted)]) from error
    return exporter


def genes(point: Point) -> dict[str, Any]:
    """The choice that the point is, gene by gene, layers counted from 1."""
    architecture = point.architecture
    found: dict[str, Any] = {"width": architecture.width, "depth": len(architecture.layers)}
    for number, layer in enumerate(architecture.layers, 1):
        for gene, option in layer.to_dict().items():
            if not isinstance(option, dict):
                found[f"layer_{number}_{gene}"] = option
    return found


def facts(point: Point) -> Iterator[tuple[str, float]]:
    """Everything that is known of a point in numbers, by name; a count has the name of its kind, what is of a
    target ``KIND@TARGET`` with ``:predicted`` and ``:measured`` behind it."""
    scores = {"validation": point.validation, "test": point.test}
    if point.tuned is not None:
        scores |= {"tuned_validation": point.tuned.validation, "tuned_test": point.tuned.test}
    yield from ((name, value) for name, value in scores.items() if value is not None)
    for (kind, target), value in point.values.items():
        name = kind if target is None else f"{kind}@{target}"
        if value.exact:
            yield name, value.predicted
            continue
        yield f"{name}:predicted", value.predicted
        if value.measured is not None:
            yield f"{name}:measured", value.measured


def destination_url(out: str) -> str:
    """A database: the URL that was given, or that of an SQLite file."""
    return out if "://" in out else f"sqlite:///{out}"
