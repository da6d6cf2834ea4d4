"""Benchmarks of predictors on published tables and real devices, and of search strategies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.activity import Activity
from nas.cli.bench_answers import Out, answer, check_first, numbers, shares, texts
from nas.cli.bench_attention import attention
from nas.cli.bench_start import start
from nas.cli.options import Json, Space, parse_targets
from nas.cli.output import error_console, write_file
from nas.cli.running import run_to_end
from nas.cli.settings import open_client
from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = ["app"]

app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    help="""Compare predictors, strategies, scores with training alone, engines, cuts of pretrained models.

    [dim]nas bench attention --quick[/dim]
    [dim]nas bench ranking latest --out ranking.json[/dim]
    """,
)
app.command()(attention)
app.command()(start)

Seeds = Annotated[int, typer.Option(min=1, help="Repetitions, each with its own seed.")]


@app.command()
def predictor(
    table: Annotated[
        list[Path],
        typer.Option(help="In the format of HW-GPT-Bench, or of HAT (repeatable: one file a device)."),
    ],
    devices: Annotated[
        str | None, typer.Option(help="Devices to test on, separated by commas.", show_default="all")
    ] = None,
    samples: Annotated[
        str | None,
        typer.Option(
            help="How many measurements to learn from, separated by commas.",
            show_default="1,3,5,10,20,50,200, as far as devices have rows",
        ),
    ] = None,
    seeds: Seeds = 5,
    prior_devices: Annotated[
        str | None,
        typer.Option(help="Devices that the prior learns from, not tested.", show_default="all others"),
    ] = None,
    predictors: Annotated[
        str | None, typer.Option(help="Names, separated by commas.", show_default="the usual ones")
    ] = None,
    drift: Annotated[
        str | None,
        typer.Option(
            help="Any of controls, raw, stretches.", show_default="all that the table's order allows"
        ),
    ] = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Learn each device of a table from a few of its rows, and test on the others.

    [dim]nas bench predictor --table gpt_s.csv.gz --devices a100,v100 --samples 5,10 --out out.json[/dim]
    """
    from nas.cli.bench_tables import predictor_table
    from predictors.bench import DEFAULT_PREDICTORS, run_table_bench
    from predictors.errors import ArgumentError, PredictorError
    from predictors.predictor import get_predictor

    names = texts(predictors) or list(DEFAULT_PREDICTORS)
    try:
        for name in names:
            get_predictor(name)
    except ValueError as error:
        raise InvalidSpec([Problem("--predictors", str(error))]) from error
    with Activity("reading the table") as activity:
        try:
            result = run_table_bench(
                table,
                texts(devices),
                None if samples is None else numbers("--samples", samples),
                seeds,
                texts(prior_devices),
                names,
                texts(drift),
                on_progress=lambda done, total: activity.update(f"device {done + 1} of {total}"),
            )
        except ArgumentError as error:
            option = f"--{error.argument.replace('_', '-')}"
            raise InvalidSpec([Problem(option, str(error))]) from error
        except PredictorError as error:
            raise InvalidSpec([Problem("--table", str(error))]) from error
    answer([predictor_table(result)], result, out, as_json=json)


@app.command()
def devices(
    context: typer.Context,
    targets: Annotated[
        str | None,
        typer.Option(
            help="DEVICE/RUNTIME/DTYPE/1t/prefill/b1/n1024, separated by commas.",
            show_default="what this machine can run",
        ),
    ] = None,
    space: Space = "hybrid-lm",
    learn: Annotated[int, typer.Option(min=1, help="Chosen architectures to measure on each target.")] = 48,
    holdout: Annotated[int, typer.Option(min=1, help="Random architectures, held out.")] = 40,
    samples: Annotated[
        str, typer.Option(help="How many measurements to learn from, separated by commas.")
    ] = "1,3,5,10,20,48",
    predictors: Annotated[str, typer.Option(help="Names, separated by commas.")] = "additive,transfer",
    seeds: Seeds = 5,
    out: Out = None,
    json: Json = False,
) -> None:
    """Profile real targets, then learn each from a few of its measurements and from the other targets, and
    test on held-out architectures.

    What was measured before is not measured again, so this can be stopped and run again. Devices other than
    local-cpu join with [bold]nas worker[/bold].

    [dim]nas bench devices --out out.json[/dim]
    [dim]nas bench devices --targets local-cpu/openvino/fp32/1t/prefill/b1/n512 --learn 20[/dim]
    """
    from nas.bench.devices import DeviceBench, targets_here
    from nas.cli.bench_tables import predictor_table, profiled_table

    if targets is not None:
        wanted = parse_targets("--targets", texts(targets) or [])
    else:
        wanted, lacking = targets_here()
        for target, obstacle in lacking.items():
            error_console().print(f"note: without {target}: it {obstacle}", markup=False, soft_wrap=True)
    bench = DeviceBench(
        space, wanted, learn, holdout, numbers("--samples", samples), texts(predictors) or [], seeds
    )
    with open_client(context) as client:
        run_to_end(client, client.submit(bench.job()).id)
        result = bench.run(client)
    answer([profiled_table(result), predictor_table(result)], result, out, as_json=json)


@app.command()
def search(
    problem: Annotated[
        str, typer.Option(help="synthetic, FILE.csv.gz[[:DEVICE]], FILE.py, or MODULE[[:ATTRIBUTE]].")
    ] = "synthetic",
    strategies: Annotated[
        str, typer.Option(help="Names, separated by commas.")
    ] = "default,evolution,optuna-tpe,random",
    budgets: Annotated[
        str, typer.Option(help="Numbers of evaluations, separated by commas.")
    ] = "100,300,1000",
    seeds: Seeds = 5,
    batch: Annotated[int, typer.Option(min=1, help="Candidates evaluated at once.")] = 5,
    noise: Annotated[
        float, typer.Option(min=0, help="Standard deviation of the noise on expensive values.")
    ] = 0.0,
    failures: Annotated[float, typer.Option(min=0, max=1, help="Share of evaluations that fail.")] = 0.0,
    fidelities: Annotated[
        str,
        typer.Option(
            help="Shares of an evaluation on offer: 0.25,1 allows evaluations at a quarter of the cost."
        ),
    ] = "1",
    known: Annotated[bool, typer.Option(help="Whether latency costs nothing to ask for.")] = True,
    plot: Annotated[
        Path | None, typer.Option(help="Write the curves to this HTML file.", callback=check_first)
    ] = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Compare strategies by the hypervolume that they reach with few evaluations.

    The synthetic problem needs no data; a table of measured architectures, or a module of yours, is one too.

    [dim]nas bench search --strategies default,random --budgets 100,300 --out out.json[/dim]
    [dim]nas bench search --problem gpt_s.csv.gz:a100 --plot curves.html[/dim]
    [dim]nas bench search --strategies default --noise 0.01 --fidelities 0.25,1 --budgets 100[/dim]
    """
    from nas.bench.search import run_search_bench
    from nas.cli.bench_tables import search_table

    with Activity("reading the problem") as activity:
        result = run_search_bench(
            problem,
            texts(strategies) or [],
            numbers("--budgets", budgets),
            seeds,
            batch,
            noise,
            failures,
            shares("--fidelities", fidelities),
            known,
            on_run=lambda name, seed, _: activity.update(f"{name}, run {seed + 1} of {seeds} done"),
        )
    answer([search_table(result)], result, out, as_json=json)
    if plot is not None:
        from nas.bench.plot import plot_search_bench

        write_file(plot_search_bench(result), plot, "--plot")


@app.command()
def mixing(
    task: Annotated[str, typer.Option(help="A task's name; its default data are used.")] = "recall",
    tokens: Annotated[int, typer.Option(min=2, help="Tokens of a sequence that is scored and timed.")] = 512,
    context: Annotated[
        int | None, typer.Option(min=2, help="Tokens of a sequence that is learned; as many where not said.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="An option of the task; repeatable.")
    ] = None,
    depths: Annotated[str, typer.Option(help="Numbers of layers, separated by commas.")] = "2,3,4",
    width: Annotated[int, typer.Option(min=8, help="Width of the models.")] = 128,
    conv: Annotated[int, typer.Option(min=0, help="Taps of short convolutions; 0 for none.")] = 4,
    members: Annotated[int, typer.Option(min=1, help="Models that each search may train.")] = 12,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each model.")] = 600,
    batch: Annotated[int, typer.Option(min=1, help="Sequences in a batch.")] = 4,
    seeds: Seeds = 3,
    softmax_layers: Annotated[
        int, typer.Option(min=1, help="Softmax layers whose placement is compared.")
    ] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Trainings at once, one thread each.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to see that it works.")] = False,
    kept: Annotated[
        Path | None,
        typer.Option(help="A file that keeps each score; what is in it is not trained again."),
    ] = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Compare the front that a search over hybrids finds with those over one kind of attention, every member
    trained alone.

    [dim]nas bench mixing --task text --processes 8 --kept text.jsonl --out out.json[/dim]
    [dim]nas bench mixing --task recall --context 128 --batch 8 --steps 800[/dim]
    [dim]nas bench mixing --quick[/dim]
    """
    from nas.bench.mixers.alone import Training
    from nas.bench.mixers.mixing import MixingBench, run_mixing_bench
    from nas.cli.bench_tables import mixing_tables

    options = dict(_option(text) for text in option or ())
    bench = MixingBench(
        Training(task, options, tokens, context or tokens, steps, batch),
        depths=tuple(numbers("--depths", depths)),
        width=width,
        conv=conv,
        members=members,
        seeds=seeds,
        softmax_layers=softmax_layers,
        processes=processes,
    )
    with Activity("drawing models") as activity:
        result = run_mixing_bench(bench.quick() if quick else bench, activity.update, kept)
    answer(mixing_tables(result), result, out, as_json=json)


@app.command()
def ranking(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="JOB|SPACE", help="A job that has ended, or a space.")],
    task: Annotated[str, typer.Option(help="With a space: a task's name.")] = "text",
    architectures: Annotated[
        int, typer.Option(min=1, help="Found architectures to train, on and off the front.")
    ] = 8,
    presets: Annotated[int, typer.Option(min=0, help="Published designs to train as well.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each model, from scratch.")] = 1200,
    batch: Annotated[int, typer.Option(min=1, help="Sequences in a batch.")] = 1,
    learning_rate: Annotated[float, typer.Option(min=1e-9, help="Peak learning rate.")] = 0.03,
    seeds: Annotated[
        int, typer.Option(min=1, max=16, help="Trainings of each model, with different seeds.")
    ] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to see that it works.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Write the scatter to this SVG file.", callback=check_first)
    ] = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Train architectures alone, and tell how well the supernet and free scores rank them.

    It is a job: stopped and run again it goes on, and what was trained once is not trained again. Its page
    ([bold]nas front[/bold]) has the scatter too.

    [dim]nas bench ranking latest --seeds 2 --picture ranking.svg[/dim]
    [dim]nas bench ranking hybrid-lm --quick[/dim]
    """
    from nas.bench.ranking import RankingBench, held_out, judge, key_of, trained_points, zero_cost_scores
    from nas.cli.bench_tables import ranking_tables
    from nas.front import Scope
    from nas.report.ranking import ranking_picture
    from searchspaces.space import space_names

    asked = RankingBench(architectures, presets, steps, batch, learning_rate, seeds)
    bench = asked.quick() if quick else asked
    with open_client(context) as client:
        is_space = subject in space_names() or Path(subject).is_file()
        spec = bench.of_space(subject, task) if is_space else bench.of_job(client.job(subject))
        job = run_to_end(client, client.submit(spec, key=key_of(spec)).id)
        front = client.front(job.id, Scope.ALL)
    result = judge(front, zero_cost_scores(job.spec, trained_points(front)))
    result["held_out"] = held_out(job.spec, front)
    drawn = ranking_picture(front)
    answer(ranking_tables(result), result, out, as_json=json)
    if picture is not None and drawn is not None:
        write_file(drawn, picture, "--picture")


@app.command()
def export(
    context: typer.Context,
    subject: Annotated[
        str, typer.Argument(metavar="JOB|SPACE", help="A job that has succeeded, or a space.")
    ] = "latest",
    task: Annotated[str, typer.Option(help="With a space: a task's name.")] = "text",
    models: Annotated[int, typer.Option(min=1, help="Members of the front to export.")] = 5,
    budgets: Annotated[int, typer.Option(min=1, help="Latency budgets to ask for.")] = 10,
    contexts: Annotated[
        str, typer.Option(help="Tokens before the one that is decoded, separated by commas.")
    ] = "256,8192",
    engines: Annotated[
        str | None,
        typer.Option(help="RUNTIME or RUNTIME/DTYPE, separated by commas.", show_default="all here"),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(help="Of nas extract, separated by commas; empty for none.", show_default="all here"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to see that it works.")] = False,
    out: Out = None,
    json: Json = False,
) -> None:
    """Run models of a job in every engine and number format of this machine, and see whether they are as good
    and as fast as the front says. Ends with 1 where a goal is missed.

    [dim]nas bench export latest --out export.json[/dim]
    [dim]nas bench export hybrid-lm --quick[/dim]
    """
    from rich.progress import Progress

    from nas.bench.export import ExportBench, run_export_bench
    from nas.bench.ranking import key_of
    from nas.cli.bench_tables import export_tables
    from searchspaces.space import space_names

    named = texts(formats)
    asked = ExportBench(
        models,
        budgets,
        tuple(numbers("--contexts", contexts)),
        tuple(texts(engines) or ()),
        None if named is None else tuple(named),
    )
    bench = asked.quick() if quick else asked
    with open_client(context) as client:
        if subject in space_names() or Path(subject).is_file():
            spec = bench.of_space(subject, task)
            job = run_to_end(client, client.submit(spec, key=key_of(spec)).id)
        else:
            job = client.job(subject)
        with Progress(console=error_console(), transient=True) as shown:
            bar = shown.add_task("extracting", total=None)
            result = run_export_bench(
                bench,
                client,
                job,
                lambda done, total, what: shown.update(bar, completed=done, total=total, description=what),
            )
    answer(export_tables(result), result, out, as_json=json)
    if not all(goal["met"] for goal in result["goals"]):
        raise typer.Exit(1)


def _option(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if not name or not value.isdecimal():
        raise InvalidSpec([Problem("--option", f"{text!r}; accepted: NAME=NUMBER, e.g. pairs=32")])
    return name, int(value)
