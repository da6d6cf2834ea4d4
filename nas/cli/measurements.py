"""What devices have said: targets, and every measurement of one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from nas.cli.options import Json, parse_targets
from nas.cli.output import print_json, result_console
from nas.cli.settings import open_client

__all__ = ["measurements"]


def measurements(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(metavar="TARGET", help="A target, as listed when none is given."),
    ] = None,
    json: Json = False,
) -> None:
    """List the targets that were measured, or every measurement on one of them.

    Where control models showed that the device was disturbed, the first reading is shown beside what
    replaced it: a second measurement, or the first with the slowdown divided out.

    [dim]nas measurements[/dim]
    [dim]nas measurements local-cpu/onnxruntime/fp32/1t/prefill/b1/n1024 --json > table.json[/dim]
    """
    wanted = None if target is None else parse_targets("TARGET", [target])[0]
    with open_client(context) as client:
        if wanted is None:
            counts = {str(each): len(client.measurements(each)) for each in client.targets()}
            rows: list[dict[str, Any]] = [{"target": t, "measurements": n} for t, n in counts.items()]
        else:
            rows = [
                {
                    "digest": found.digest,
                    "latency_ms": found.corrected.latency_ms,
                    "error_ms": found.corrected.error_ms,
                    "wall_ms": found.wall_ms,
                    "drift": found.drift,
                    "slowdown": found.slowdown,
                    "first": None if found.correction is None else asdict(found.reading),
                    "peak_memory_bytes": found.peak_memory_bytes,
                    "noisy": found.noisy,
                    "attention": found.attention,
                    "measured_at": found.measured_at,
                    "architecture": architecture.to_dict(),
                }
                for architecture, found in client.measurements(wanted)
            ]
    if json:
        print_json(rows)
        return
    from nas.cli.listings import measurements_table, targets_table

    result_console().print(targets_table(rows) if wanted is None else measurements_table(rows))
