"""Benchmarks of predictors on published tables and real devices, and of search strategies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from nas.cli.options import parse_targets
from nas.cli.output import error_console, result_console, write_or_print
from nas.cli.running import run_to_end
from nas.cli.settings import open_client
from nas.errors import InvalidSpec
from searchspaces.errors import Problem

__all__ = ["app"]

app = typer.Typer(name="bench", no_args_is_help=True, help="Compare predictors, or search strategies.")

Out = Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write every number to this file.")]
Seeds = Annotated[int, typer.Option(min=1, help="Repetitions, each with a seed of its own.")]


@app.command()
def predictor(
    table: Annotated[
        list[Path],
        typer.Option(help="In the format of HW-GPT-Bench, or of HAT (repeatable, a device each)."),
    ],
    devices: Annotated[str | None, typer.Option(help="To test on, by commas; all by default.")] = None,
    samples: Annotated[
        str, typer.Option(help="Measurements to learn from, by commas.")
    ] = "1,3,5,10,20,50,200",
    seeds: Seeds = 5,
    prior_devices: Annotated[
        str | None, typer.Option(help="That the prior learns from, by commas; all others where not said.")
    ] = None,
    predictors: Annotated[str | None, typer.Option(help="By commas; the usual ones where not said.")] = None,
    drift: Annotated[
        str | None, typer.Option(help="controls, raw, stretches; all that the table's order allows.")
    ] = None,
    json: Out = None,
) -> None:
    """Learn each device of a table from a few of its rows, and test on the others.

    [dim]nas bench predictor --table gpt_s.csv.gz --devices a100,v100 --samples 5,10 --json out.json[/dim]
    """
    from nas.cli.bench_tables import predictor_table
    from predictors.bench import DEFAULT_PREDICTORS, run_table_bench
    from predictors.errors import ArgumentError, PredictorError
    from predictors.predictor import get_predictor

    names = _texts(predictors) or list(DEFAULT_PREDICTORS)
    try:
        for name in names:
            get_predictor(name)
    except ValueError as error:
        raise InvalidSpec([Problem("--predictors", str(error))]) from error
    with error_console().status("reading the table") as status:
        try:
            result = run_table_bench(
                table,
                _texts(devices),
                _numbers("--samples", samples),
                seeds,
                _texts(prior_devices),
                names,
                _texts(drift),
                on_progress=lambda done, total: status.update(f"device {done + 1} of {total}"),
            )
        except ArgumentError as error:
            option = f"--{error.argument.replace('_', '-')}"
            raise InvalidSpec([Problem(option, str(error))]) from error
        except PredictorError as error:
            raise InvalidSpec([Problem("--table", str(error))]) from error
    _print_predictors(predictor_table(result), result, json)


@app.command()
def devices(
    context: typer.Context,
    targets: Annotated[
        str | None,
        typer.Option(
            help="DEVICE/RUNTIME/DTYPE/1t/prefill/b1/n1024, …, by commas; this machine's where not said."
        ),
    ] = None,
    space: Annotated[str, typer.Option(help="Name or YAML file.")] = "hybrid-lm",
    learn: Annotated[int, typer.Option(min=1, help="Architectures to measure a target, chosen.")] = 48,
    holdout: Annotated[int, typer.Option(min=1, help="Random held-out ones.")] = 40,
    samples: Annotated[str, typer.Option(help="Measurements to learn from, by commas.")] = "1,3,5,10,20,48",
    predictors: Annotated[str, typer.Option(help="By commas.")] = "additive,transfer",
    seeds: Seeds = 5,
    json: Out = None,
) -> None:
    """Profile real targets, then learn each from a few of its measurements and what the others taught, and
    test on held-out architectures.

    What was measured before, or before this was stopped, is not measured again. Devices other than
    local-cpu join with [bold]nas worker[/bold].

    [dim]nas bench devices --json out.json[/dim]
    [dim]nas bench devices --targets local-cpu/openvino/fp32/1t/prefill/b1/n512 --learn 20[/dim]
    """
    from nas.bench.devices import DeviceBench, targets_here
    from nas.cli.bench_tables import predictor_table, profiled_table

    if targets is not None:
        wanted = parse_targets("--targets", _texts(targets) or [])
    else:
        wanted, lacking = targets_here()
        for target, obstacle in lacking.items():
            error_console().print(f"note: without {target}: it {obstacle}", markup=False, soft_wrap=True)
    bench = DeviceBench(
        space, wanted, learn, holdout, _numbers("--samples", samples), _texts(predictors) or [], seeds
    )
    with open_client(context) as client:
        run_to_end(client, client.submit(bench.job()).id)
        result = bench.run(client)
    result_console().print(profiled_table(result))
    _print_predictors(predictor_table(result), result, json)


@app.command()
def search(
    problem: Annotated[
        str, typer.Option(help="synthetic, FILE.csv.gz[[:DEVICE]], FILE.py, or MODULE[[:ATTRIBUTE]].")
    ] = "synthetic",
    strategies: Annotated[str, typer.Option(help="By commas.")] = "default,evolution,optuna-tpe,random",
    budgets: Annotated[str, typer.Option(help="Evaluations, by commas.")] = "100,300,1000",
    seeds: Seeds = 5,
    batch: Annotated[int, typer.Option(min=1, help="Candidates evaluated at once.")] = 5,
    noise: Annotated[
        float, typer.Option(min=0, help="Standard deviation of the noise on expensive values.")
    ] = 0.0,
    failures: Annotated[float, typer.Option(min=0, max=1, help="Share of evaluations that fail.")] = 0.0,
    fidelities: Annotated[
        str, typer.Option(help="What evaluations may cost, by commas: 0.25,1 allows quarters of whole ones.")
    ] = "1",
    known: Annotated[bool, typer.Option(help="Whether latency may be asked for nothing.")] = True,
    plot: Annotated[Path | None, typer.Option(help="Write the curves to this HTML file.")] = None,
    json: Out = None,
) -> None:
    """Compare strategies by the hypervolume that they reach with few evaluations.

    [dim]nas bench search --strategies default,random --budgets 100,300 --json out.json[/dim]
    [dim]nas bench search --problem gpt_s.csv.gz:a100 --plot curves.html[/dim]
    [dim]nas bench search --strategies default --noise 0.01 --fidelities 0.25,1 --budgets 100[/dim]
    """
    from nas.bench.search import run_search_bench
    from nas.cli.bench_tables import search_table

    with error_console().status("reading the problem") as status:
        result = run_search_bench(
            problem,
            _texts(strategies) or [],
            _numbers("--budgets", budgets),
            seeds,
            batch,
            noise,
            failures,
            _shares("--fidelities", fidelities),
            known,
            on_run=lambda name, seed, _: status.update(f"{name}, run {seed + 1} of {seeds} done"),
        )
    result_console().print(search_table(result))
    if plot is not None:
        from nas.bench.plot import plot_search_bench

        plot_search_bench(result, plot)
    _write(result, json)


def _print_predictors(table: Table, result: dict[str, Any], out: Path | None) -> None:
    result_console().print(table)
    for drift, protocol in result["protocol"].items():
        result_console().print(f"drift {drift}: {protocol}", markup=False, soft_wrap=True)
    for note in result["notes"]:
        error_console().print(f"note: {note}", markup=False, soft_wrap=True)
    _write(result, out)


def _write(result: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        write_or_print(result, out)


def _texts(listed: str | None) -> list[str] | None:
    return None if listed is None else [part.strip() for part in listed.split(",") if part.strip()]


def _shares(option: str, listed: str) -> list[float]:
    try:
        return [float(part) for part in listed.split(",")]
    except ValueError as error:
        message = f"{listed!r}; accepted: rising shares by commas, the last one 1"
        raise InvalidSpec([Problem(option, message)]) from error


def _numbers(option: str, listed: str) -> list[int]:
    try:
        return [int(part) for part in listed.split(",")]
    except ValueError as error:
        message = f"{listed!r}; accepted: whole numbers from 1, by commas"
        raise InvalidSpec([Problem(option, message)]) from error
