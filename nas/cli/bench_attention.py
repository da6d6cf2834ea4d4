"""`nas bench attention`: every token mixer beside softmax."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.cli.activity import Activity
from nas.cli.bench_answers import Out, answer, numbers
from nas.cli.options import Json

__all__ = ["attention"]


def attention(
    mixers: Annotated[
        str | None,
        typer.Option(help="Options, separated by spaces.", show_default="one of every mixer"),
    ] = None,
    tokens: Annotated[str, typer.Option(help="Lengths, separated by commas.")] = "256,512,1024,2048,4096",
    width: Annotated[int, typer.Option(min=8, help="D of the layer.")] = 128,
    heads: Annotated[int, typer.Option(min=1, help="H of the layer.")] = 4,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to see that it works.")] = False,
    out: Out = None,
    json: Json = False,
) -> None:
    """Run every token mixer, causal and where tokens all see each other: its error against the plain formula,
    its latency in onnxruntime on one thread, and its efficiency length: that at which it overtakes softmax.

    [dim]nas bench attention --out attention.json[/dim]
    [dim]nas bench attention --mixers "flow window:64" --tokens 256,1024,4096[/dim]
    """
    from nas.bench.mixers.attention import AttentionBench, run_attention_bench
    from nas.cli.bench_tables import attention_tables

    asked = AttentionBench(tuple((mixers or "").split()), tuple(numbers("--tokens", tokens)), width, heads)
    with Activity("measuring") as activity:
        result = run_attention_bench(
            asked.quick() if quick else asked,
            lambda done, total, what: activity.update(f"{what} ({done + 1} of {total})"),
        )
    answer(attention_tables(result), result, out, as_json=json)
