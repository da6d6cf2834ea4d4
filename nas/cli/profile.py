"""Profiling a device for a space, without searching."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nas.cli.options import Json, Space
from nas.cli.output import error_console
from nas.cli.running import run_and_answer
from nas.cli.settings import open_client

__all__ = ["profile"]


def profile(
    context: typer.Context,
    space: Space,
    device: Annotated[
        str, typer.Option(help="The device to profile; this machine unless named.")
    ] = "local-cpu",
    runtime: Annotated[str, typer.Option(help="The engine that runs the models.")] = "onnxruntime",
    dtype: Annotated[str, typer.Option(help="Data type of weights and activations.")] = "fp32",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the runtime.")] = 1,
    phase: Annotated[
        str | None,
        typer.Option(help="[bold]prefill[/] or [bold]decode[/]; by default what the space's models do."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sequences in a batch.")] = 1,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Of each sequence; 1024 by default, or those of an input.")
    ] = None,
    measurements: Annotated[
        int | None,
        typer.Option(min=1, help="At most this many, besides held-out ones.", show_default="the job's own"),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Stop once the mean held-out error is this small.", show_default="the job's own"),
    ] = None,
    json: Json = False,
) -> None:
    """Fit a device's latency predictor before any job needs it, and report how accurate it is.

    This is a job that only profiles: it is listed, watched, stopped and resumed like any other. Later jobs
    of the same space and target reuse its measurements.

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
