"""`nas bench start`: a search beside cuts of a pretrained model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.activity import Activity
from nas.cli.bench_answers import Out, answer, numbers, shares
from nas.cli.options import Json
from nas.cli.output import error_console
from nas.cli.running import run_to_end
from nas.cli.settings import open_client, settings_of

if TYPE_CHECKING:
    from nas.job import Job
    from nas.spec import JobSpec

__all__ = ["start"]


def start(
    context: typer.Context,
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A folder of Hugging Face with safetensors, or a GGUF.")
    ],
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Files of text to learn from and score on (repeatable).", show_default="Python's own"
        ),
    ] = None,
    tokens: Annotated[int, typer.Option(min=2, help="Of a prompt, and of a sequence that is scored.")] = 2048,
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="Workloads that all models are timed at besides (repeatable): decode/b1/n4096.",
            show_default="none",
        ),
    ] = None,
    levels: Annotated[
        str, typer.Option(help="Percentages of the model's latency, separated by commas.")
    ] = "85,70,55",
    mixers: Annotated[
        str | None,
        typer.Option(
            help="Options of the token mixer, separated by spaces.",
            show_default="keep window:64,4 window:256,4 none",
        ),
    ] = None,
    ratios: Annotated[
        str, typer.Option(help="Shares of the feed-forwards, separated by commas.")
    ] = "1,0.875,0.75,0.625,0.5,0.375,0.25,0",
    calibrate: Annotated[int, typer.Option(min=1, help="Tokens that rank feed-forward units.")] = 32768,
    scored: Annotated[int, typer.Option(min=1, help="Tokens that single replacements are scored on.")] = 2048,
    library: Annotated[int, typer.Option(min=0, help="Training steps of each replacement.")] = 40,
    measured: Annotated[int, typer.Option(min=4, help="Architectures to profile.")] = 24,
    evaluations: Annotated[int, typer.Option(min=1, help="Candidates that a search evaluates.")] = 32,
    evaluated: Annotated[int, typer.Option(min=1, help="Tokens that models are scored on.")] = 16384,
    heal: Annotated[int, typer.Option(min=0, help="Steps of each model's training; 0: none.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to see that it works.")] = False,
    kept: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="Keeps what is done.",
            show_default="bench/… below the home",
        ),
    ] = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Find smaller forms of a pretrained model, and compare them with cuts that take as long and need no
    search: as they are, and all healed alike.

    Stopped and run again with the same model, text and options it goes on, with others of --levels, --also,
    --measured, --evaluations and --heal too; result.json in its folder says what is known by now.

    [dim]nas bench start SmolLM2-135M --text "books/*.txt" --levels 70 --heal 64[/dim]
    [dim]nas bench start tiny --text text.txt --quick[/dim]
    """
    from nas.bench.start import StartBench, run_start_bench, settle
    from nas.cli.bench_tables import start_table

    asked = StartBench(
        model=str(model.expanduser().resolve()),
        text=tuple(text or ()),
        tokens=tokens,
        also=tuple(also or ()),
        levels=tuple(numbers("--levels", levels)),
        mixers=tuple(mixers.split()) if mixers else StartBench.mixers,
        ratios=tuple(shares("--ratios", ratios, "shares, 0 to 1")),
        calibrate=calibrate,
        scored=scored,
        library=library,
        measured=measured,
        evaluations=evaluations,
        evaluated=evaluated,
        heal=heal,
        seed=seed,
    )
    bench = asked.quick() if quick else asked
    home = settings_of(context).home or Path(os.environ.get("NAS_HOME") or ".nas")
    with open_client(context) as client, Activity("reading the model") as activity:

        def run_job(spec: JobSpec, key: str) -> Job:
            with activity.paused():
                return run_to_end(client, client.submit(spec, key=key).id)

        settled = settle(bench, home / "models")
        folder = kept or home / "bench" / settled.key
        with activity.paused():
            error_console().print(f"keeping every number in {folder}", markup=False, soft_wrap=True)
        result = run_start_bench(settled, client, run_job, folder, activity.update)
    answer([start_table(result)], result, out, as_json=json)
