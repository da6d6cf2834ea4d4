"""Profiling a device for a space, without searching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.output import error_console, print_json, result_console
from nas.cli.settings import Json, open_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from nas.job import TargetProfile

__all__ = ["print_profiles", "profile", "profiles_table"]


def profile(
    context: typer.Context,
    space: Annotated[str, typer.Option(help="A space's name, or a path to its YAML file.")],
    device: Annotated[
        str, typer.Option(help="That measures; this machine where none is named.")
    ] = "local-cpu",
    runtime: Annotated[str, typer.Option(help="That runs the models.")] = "onnxruntime",
    dtype: Annotated[str, typer.Option(help="Of weights and activations.")] = "fp32",
    threads: Annotated[int, typer.Option(min=1, help="Of the runtime.")] = 1,
    phase: Annotated[str, typer.Option(help="[bold]prefill[/] or [bold]decode[/].")] = "prefill",
    batch: Annotated[int, typer.Option(min=1, help="Sequences at once.")] = 1,
    tokens: Annotated[int, typer.Option(min=1, help="Of each sequence.")] = 1024,
    measurements: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many, besides the held-out ones.", show_default="the job's own"),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Stop at this mean held-out error.", show_default="the job's own"),
    ] = None,
    json: Json = False,
) -> None:
    """Teach a device's latency predictor before any job needs it, and say how good it is.

    A job that only profiles: it is listed, watched, stopped and resumed as any other. Later jobs of the
    same space and target reuse what was measured and learned.

    [dim]nas profile --space hybrid-lm --tokens 512 --measurements 24[/dim]
    [dim]nas --server nas.example.org:7070 profile --space mine.yaml --device lab-phone --json[/dim]
    """
    from nas.cli.jobs import run_and_answer

    target = {
        "device": device,
        "runtime": runtime,
        "dtype": dtype,
        "threads": threads,
        "phase": phase,
        "batch": batch,
        "tokens": tokens,
    }
    budget = {"measurements": measurements, "tolerance": tolerance}
    given: dict[str, Any] = {name: value for name, value in budget.items() if value is not None}
    if measurements is not None:
        given["minimum"] = min(measurements, 16)
    spec = {
        "name": "profile",
        "space": space,
        "until": "profile",
        "targets": [target],
        "budget": {"profile": given},
    }
    with open_client(context) as client:
        job = client.submit(spec)
        error_console().print(f"job [bold]{job.id}[/]")
        run_and_answer(client, job.id, as_json=json)


def print_profiles(job_id: str, profiles: Sequence[TargetProfile], *, as_json: bool) -> None:
    """What a job's profiling left."""
    if as_json:
        print_json({"job": job_id, "profiles": [found.to_dict() for found in profiles]})
    else:
        result_console().print(profiles_table(profiles))


def profiles_table(profiles: Sequence[TargetProfile]) -> Table:
    """One row a target: how well its predictor does on architectures that it never saw."""
    from nas.cli.tables import plain_table

    numbers = (
        "measured",
        "of them blocks",
        "held out",
        "mean error",
        "within ±10%",
        "within ±5%",
        "Spearman",
        "in 90% interval",
    )
    table = plain_table("target", "predictor", *numbers, right=numbers)
    for found in profiles:
        table.add_row(
            str(found.target),
            found.predictor,
            str(found.measured),
            str(found.single_blocks),
            str(found.held_out),
            f"{found.mape:.1%}",
            f"{found.within_10:.0%}",
            f"{found.within_5:.0%}",
            f"{found.spearman:.3f}",
            f"{found.coverage_90:.0%}",
        )
    return table
