"""Asking whether a model folder is what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nas.cli.options import Json
from nas.cli.output import print_json, result_console
from nas.errors import ModelRejected

if TYPE_CHECKING:
    from nas.export.verify import Check

__all__ = ["verify"]

LONGEST_VALUE = 60
"""Characters of a value that are printed."""


def verify(
    folder: Annotated[Path, typer.Argument(help="A folder that `nas extract` wrote.")],
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure the latencies again, too, on this machine.")
    ] = False,
    json: Json = False,
) -> None:
    """Find out anew all that a model folder's manifest says; any difference ends with exit code 9.

    Digests of files and of the architecture, the table of layers, the difference between the engine and
    torch, and the quality on the test split before and after conversion.

    [dim]nas verify model[/dim]
    [dim]nas verify model --measure[/dim]
    """
    from nas.export.verify import verify_model_folder

    checks = verify_model_folder(folder, latencies=measure)
    if json:
        print_json([check.to_dict() for check in checks])
    else:
        _print(result_console(), checks)
    wrong = [check for check in checks if not check.agrees]
    if wrong:
        first = wrong[0]
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        said = f"the manifest says {first.said}, found {first.found}{more}"
        raise ModelRejected(f"{folder}: {first.name}: {said}")


def _print(console: Console, checks: Sequence[Check]) -> None:
    """What a manifest says beside what was found, a line each."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "said", "found"):
        table.add_column(heading)
    for check in checks:
        said, found = (_brief(value) for value in (check.said, check.found))
        same = check.agrees and check.said == check.found
        mark = "[green]ok[/]" if check.agrees else "[red]no[/]"
        table.add_row(mark, escape(check.name), escape(said), "" if same else escape(found))
    console.print(table)


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping | list):
        return f"{len(value)} entries"
    text = "-" if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
