"""The whole job on this machine, from nothing to a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from nas.cli.options import Json
from nas.cli.output import error_console, print_json, result_console
from nas.cli.running import run_to_end
from nas.cli.settings import open_client

if TYPE_CHECKING:
    from rich.console import Console

    from nas.client import Client
    from nas.comparison import Comparison
    from nas.front import Front
    from nas.point import Point

__all__ = ["DEMO", "DEMO_FAST", "demo"]

DEMO = Path(__file__).parent / "demo.yaml"
DEMO_FAST = Path(__file__).parent / "demo-fast.yaml"


def demo(
    context: typer.Context,
    fast: Annotated[bool, typer.Option("--fast", help="Takes under a minute; the models are poor.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the plot and the model.")] = Path("nas-demo"),
    json: Json = False,
) -> None:
    """Run the whole job on this machine, from nothing to a model file.

    Profiles the machine, trains a supernet on real text, searches, measures what was found, and extracts the
    best model: some minutes on two cores.

    [dim]nas demo[/dim]
    [dim]nas demo --fast[/dim]
    """
    from nas.front import Scope

    with open_client(context) as client:
        job = client.submit(DEMO_FAST if fast else DEMO)
        error_console().print(f"job [bold]{job.id}[/], defined in {escape(str(DEMO_FAST if fast else DEMO))}")
        run_to_end(client, job.id)
        front = client.front(job.id, Scope.ALL)
        recommended = _recommended(client, job.id)
        model = out / job.id / "model"
        client.extract(job.id, recommended.digest, model)
        comparisons = client.comparisons(job.id)
    plot = _write_plot(front, out / job.id / "front.html")
    if json:
        print_json(
            {
                "front": front.to_dict(),
                "comparisons": [comparison.to_dict() for comparison in comparisons],
                "plot": str(plot),
                "recommended": recommended.digest,
                "model": str(model),
            }
        )
        return
    _print_outcome(result_console(), front, comparisons, recommended, plot, model)


def _recommended(client: Client, job_id: str) -> Point:
    """The best within the job's bounds, of those that were trained alone where some on the front were: what
    is claimed of it was seen."""
    from dataclasses import replace

    from nas.front import Scope

    front = client.front(job_id, Scope.FRONT)
    trained = [p for p in front.points if p.delivered is not None and p.delivered.measured is not None]
    return replace(front, points=tuple(trained or front.points)).best()


def _write_plot(front: Front, path: Path) -> Path:
    from nas.files import write_whole
    from nas.report.page import page

    with write_whole(path) as temporary:
        temporary.write_text(page(front), encoding="utf-8")
    return path


def _print_outcome(
    console: Console,
    front: Front,
    comparisons: list[Comparison],
    recommended: Point,
    plot: Path,
    model: Path,
) -> None:
    from nas.cli.tables import print_comparisons, print_front

    print_front(console, front)
    console.print()
    print_comparisons(console, front, comparisons)
    console.print(f"\nplot          [bold]{escape(str(plot))}[/]  (open it in a browser)")
    console.print(f"recommended   [bold]{recommended.digest}[/], the best within the job's bounds")
    console.print(f"its model     [bold]{escape(str(model / 'model.onnx'))}[/]")
    console.print("\nTry next:")
    for command in _next_commands(front, recommended, model.parent):
        console.print(f"  {command}", style="cyan", markup=False, soft_wrap=True)


def _next_commands(front: Front, recommended: Point, folder: Path) -> list[str]:
    """A tighter budget, its model, and what else the front holds."""
    from nas.objectives.latency_ms import LATENCY, Latency
    from nas.objectives.names import shortest_part

    latency = Latency.axes(front.targets)[0]
    tighter = recommended.value(latency) / 2
    fastest = min(point.value(latency) for point in front.members())
    name = latency.name
    if len(front.targets) > 1:
        name = f"{LATENCY}@{shortest_part(front.targets[0], front.targets)}"
    bound = f"--max {name}={max(tighter, fastest * 1.02):.3g}"
    return [
        f"nas best {front.job} {bound}",
        f"nas extract {front.job} {bound} --out {folder / 'faster'}",
        f"nas front {front.job} --format csv --out {folder / 'front.csv'}",
    ]
