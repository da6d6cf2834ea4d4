"""Profiling a device for a space, without searching."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nas.cli.options import Json
from nas.cli.output import error_console
from nas.cli.running import run_and_answer
from nas.cli.settings import open_client

__all__ = ["profile"]


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
