"""Handing what jobs found to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Job, Json
from nas.cli.output import print_json, result_console
from nas.cli.settings import open_client
from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = ["export"]


def export(
    context: typer.Context,
    job: Job,
    to: Annotated[str, typer.Option("--to", help="optuna, parquet or mlflow.")],
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
    if "://" not in out and Path(out).is_dir():
        raise InvalidSpec([Problem("--out", f"{out} is a folder; accepted: a file")])
    if to == "parquet" and "://" in out:
        raise InvalidSpec([Problem("--out", f"{out} is a URL; accepted: a file")])
    with open_client(context) as client:
        front = client.front(job, Scope.ALL)
    said = exporter(front, out)
    if json:
        print_json({"job": front.job, "to": to, "out": out, "points": len(front.points)})
        return
    result_console().print(said, markup=False, soft_wrap=True)
