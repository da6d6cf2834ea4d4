"""What there is: spaces, tasks, presets, plug-ins and versions."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nas.cli.options import Json
from nas.cli.output import print_json, result_console
from nas.cli.settings import open_client

__all__ = ["plugins", "presets", "spaces", "tasks", "version"]


def spaces(context: typer.Context, json: Json = False) -> None:
    """List the search spaces that ship; a job may also name a YAML file of your own."""
    with open_client(context) as client:
        found = client.spaces()
    _answer(found, "spaces", as_json=json)


def tasks(context: typer.Context, json: Json = False) -> None:
    """List the tasks that supernets can learn, with their options."""
    with open_client(context) as client:
        found = client.tasks()
    _answer(found, "tasks", as_json=json)


def plugins(json: Json = False) -> None:
    """List the mixers, tasks, runtimes, predictors and strategies that other distributions add here."""
    from nas.plugins import plugin_descriptions

    _answer(plugin_descriptions(), "plugins", as_json=json)


def presets(
    context: typer.Context,
    space: Annotated[str, typer.Argument(metavar="SPACE", help="Name or YAML file.")] = "hybrid-lm",
    json: Json = False,
) -> None:
    """List the published designs that a space contains: baselines of every search in it."""
    with open_client(context) as client:
        found = client.presets(space)
    _answer(found, "presets", as_json=json)


def _answer(found: list[dict[str, Any]], noun: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    from nas.cli.listings import CATALOGUE_TABLES

    result_console().print(CATALOGUE_TABLES[noun](found))


def version(json: Json = False) -> None:
    """Print the versions of this program and of what its results depend on."""
    from importlib.metadata import version as version_of

    packages = ("nas-service", "torch", "onnx", "onnxruntime", "ray", "optuna", "numpy")
    found = {package: version_of(package) for package in packages}
    if json:
        print_json(found)
        return
    for package, number in found.items():
        result_console().print(f"{package} {number}")
