"""What there is: spaces, tasks, mixers, presets, plug-ins and versions.

Without a service elsewhere it is what is installed here, which needs no store: listing it works, and leaves
nothing behind, in folders that nobody may write to.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli import completion
from nas.cli.options import Json
from nas.cli.output import print_json, result_console
from nas.cli.settings import open_client, settings_of

if TYPE_CHECKING:
    from nas.client import Client

__all__ = ["mixers", "plugins", "presets", "print_version", "spaces", "tasks", "version"]


def spaces(context: typer.Context, json: Json = False) -> None:
    """List the search spaces that ship. A job may also name a YAML file of your own.

    [dim]nas spaces[/dim]
    """
    from searchspaces.descriptions import space_descriptions

    found = _found(context, lambda client: client.spaces(), space_descriptions)
    _answer(found, "spaces", as_json=json)


def tasks(context: typer.Context, json: Json = False) -> None:
    """List the tasks that a supernet can be trained on, with their options.

    [dim]nas tasks[/dim]
    """
    from nas.tasks import task_descriptions

    found = _found(context, lambda client: client.tasks(), task_descriptions)
    _answer(found, "tasks", as_json=json)


def mixers(json: Json = False) -> None:
    """List the token mixers: what each sees, how it weighs, what it keeps, how its work grows.

    [dim]nas mixers --json[/dim]
    """
    from searchspaces.mixers.descriptions import mixer_descriptions

    _answer(mixer_descriptions(), "mixers", as_json=json)


def plugins(json: Json = False) -> None:
    """List the mixers, tasks, runtimes, predictors and strategies that other distributions add here.

    [dim]nas plugins --json[/dim]
    """
    from nas.plugins import plugin_descriptions

    _answer(plugin_descriptions(), "plugins", as_json=json)


def presets(
    context: typer.Context,
    space: Annotated[
        str,
        typer.Argument(
            metavar="SPACE", help="A space's name, or its YAML file.", autocompletion=completion.spaces
        ),
    ] = "hybrid-lm",
    json: Json = False,
) -> None:
    """List the published designs that a space contains: the baselines of every search in it.

    [dim]nas presets hybrid-lm[/dim]
    """
    from searchspaces.descriptions import preset_descriptions

    found = _found(context, lambda client: client.presets(space), lambda: preset_descriptions(space))
    _answer(found, "presets", as_json=json)


def _found(
    context: typer.Context,
    there: Callable[[Client], list[dict[str, Any]]],
    here: Callable[[], list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    if settings_of(context).server is None:
        return here()
    with open_client(context) as client:
        return there(client)


def _answer(found: list[dict[str, Any]], noun: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    from nas.cli.listings import CATALOGUE_TABLES

    result_console().print(CATALOGUE_TABLES[noun](found))


def version(json: Json = False) -> None:
    """Print the versions of this program and of the packages that results depend on.

    [dim]nas version --json[/dim]
    """
    packages = ("nas-service", "torch", "onnx", "onnxruntime", "ray", "optuna", "numpy")
    found = {package: version_of(package) for package in packages}
    if json:
        print_json(found)
        return
    for package, number in found.items():
        result_console().print(f"{package} {number}")


def print_version(value: bool) -> None:
    """`nas --version`: one line, then the end."""
    if value:
        result_console().print(f"nas {version_of('nas-service')}")
        raise typer.Exit
