"""Handing what jobs found to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli import completion
from nas.cli.options import Job, Json
from nas.cli.output import print_json, result_console
from nas.cli.settings import open_client
from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = ["export"]


def export(
    context: typer.Context,
    job: Job,
    to: Annotated[
        str, typer.Option("--to", help="optuna, parquet or mlflow.", autocompletion=completion.exporters)
    ],
    out: Annotated[
        str, typer.Option(help="A new file; for optuna and mlflow also a database's or a server's URL.")
    ],
    json: Json = False,
) -> None:
    """Write what a job found in the form of another tool: an Optuna study, a Parquet file, MLflow runs.

    [dim]nas export latest --to optuna --out study.db[/dim]
    [dim]nas export latest --to parquet --out points.parquet[/dim]
    """
    from nas.exchange.exporters import get_exporter
    from nas.front import Scope

    exporter = get_exporter(to)
    _check_out(out, to)
    with open_client(context) as client:
        front = client.front(job, Scope.ALL)
    said = exporter(front, out)
    if json:
        print_json({"job": front.job, "to": to, "out": out, "points": len(front.points)})
        return
    result_console().print(said, markup=False, soft_wrap=True)


def _check_out(out: str, to: str) -> None:
    """Before a whole job is read: that the tool can write there, as far as that can be told.

    Raises:
        InvalidSpec: it cannot.
    """
    problem = None
    if "://" in out:
        problem = "is a URL; accepted: a file" if to == "parquet" else None
    else:
        file = Path(out)
        try:
            if file.is_dir():
                problem = "is a folder; accepted: a file"
            elif not file.parent.is_dir():
                problem = f"would lie in {file.parent}; accepted: a file in a folder that exists"
            elif to != "parquet" and file.is_file() and not _may_be_sqlite(file):
                problem = "is no SQLite database; accepted: one, or a new file"
        except OSError as error:
            problem = f"cannot be written: {error.strerror}; accepted: a file"
    if problem is not None:
        raise InvalidSpec([Problem("--out", f"{out!s:.200} {problem}")])


def _may_be_sqlite(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(16) in (b"", b"SQLite format 3\0")
