"""Asking for fronts, for the best point within a budget, and for that point's model."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli import completion
from nas.cli.jobs import explanation_of
from nas.cli.options import (
    Bounds,
    Job,
    Json,
    Maximum,
    Minimum,
    OptionalJob,
    parse_bounds,
    parse_targets,
)
from nas.cli.output import print_json, result_console, write_or_print
from nas.cli.settings import open_client, settings_of
from nas.errors import InvalidSpec, NoSuchPoint, NothingMeetsBounds
from nas.files import check_new_or_empty
from searchspaces.errors import Problem

if TYPE_CHECKING:
    from nas.client import Client
    from nas.front import Front
    from nas.optimum import Optimum

__all__ = ["best", "extract", "front"]


class Format(StrEnum):
    """How a front is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    HTML = "html"
    SVG = "svg"


def _note_format(context: typer.Context, value: Format) -> Format:
    settings_of(context).json |= value is Format.JSON
    return value


def front(
    context: typer.Context,
    job: OptionalJob = None,
    maximum: Maximum = None,
    minimum: Minimum = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="One of the job's targets: its text, a part of it such as decode, or its device.",
            autocompletion=completion.targets,
        ),
    ] = None,
    across: Annotated[
        str | None,
        typer.Option(
            metavar="SPACE/TASK",
            help="Rather than one job, all jobs of a space and a task as one front for --target.",
        ),
    ] = None,
    format: Annotated[
        Format,
        typer.Option(
            "--format",
            help="json and csv have every point; html is an interactive page, svg a picture.",
            callback=_note_format,
        ),
    ] = Format.TABLE,
    robust: Annotated[
        bool,
        typer.Option(
            "--robust",
            help="Rank models for all targets at once: by the worst of their latencies, each relative to the "
            "best on its target.",
        ),
    ] = False,
    json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
) -> None:
    """Show a job's Pareto front: what was asked for, predicted and measured, for every point.

    The front of a job with several targets is that of all of them together; --target shows one target's.

    [dim]nas front latest[/dim]
    [dim]nas front latest --max latency_ms=8 --max parameters=1e6[/dim]
    [dim]nas front latest --target lab-phone[/dim]
    [dim]nas front latest --robust[/dim]
    [dim]nas front --across hybrid-lm/text --target local-cpu/onnxruntime/fp32/1t/prefill/b1/n1024[/dim]
    [dim]nas front demo-3f9a1c --format html --out front.html[/dim]
    """
    from nas.front import Scope

    bounds = parse_bounds(maximum, minimum)
    if across is not None:
        _answer_across(context, across, target, job, bounds, format, json, out)
        return
    if job is None:
        raise InvalidSpec([Problem("JOB", "which job? accepted: an id, latest, or --across SPACE/TASK")])
    if robust and target is not None:
        raise InvalidSpec([Problem("--robust", "it is about all targets; accepted: without --target")])
    with open_client(context) as client:
        job = client.job(job).id
        few = format is Format.TABLE and not json and not robust and target is None
        found = client.front(job, Scope.SHOWN if few else Scope.ALL)
        explanation = explanation_of(client, job) if format is Format.HTML and not robust else None
    if robust:
        _answer_robust(found, bounds, format, json, out)
        return
    found = _narrowed(found, bounds, target)
    if json or format is Format.JSON:
        write_or_print(found.to_dict(), out)
    elif format is Format.CSV:
        from nas.report.csv_table import csv_table

        write_or_print(csv_table(found), out)
    elif format is Format.HTML:
        from nas.report.page import page

        write_or_print(page(found, explanation), out)
    elif format is Format.SVG:
        from nas.report.picture import picture

        write_or_print(picture(found, found.targets[0]), out)
    else:
        from nas.cli.tables import print_front

        print_front(result_console(), found)


def _answer_across(
    context: typer.Context,
    across: str,
    target: str | None,
    job: str | None,
    bounds: Bounds,
    format: Format,
    json: bool,
    out: Path | None,
) -> None:
    space, separator, task = across.rpartition("/")
    if job is not None or target is None or not separator:
        raise InvalidSpec([Problem("--across", "accepted: --across SPACE/TASK --target TARGET, and no JOB")])
    (meant,) = parse_targets("--target", [target])
    with open_client(context) as client:
        found = client.across(space, task, meant)
    found = replace(found, front=_narrowed(found.front, bounds, None))
    if json or format is Format.JSON:
        write_or_print(found.to_dict(), out)
    elif format is Format.TABLE:
        from nas.cli.tables import print_joint

        print_joint(result_console(), found)
    else:
        raise InvalidSpec(
            [Problem("--format", f"{format} is not available with --across; accepted: table, json")]
        )


def _answer_robust(front: Front, bounds: Bounds, format: Format, json: bool, out: Path | None) -> None:
    from nas.views import robust_front

    # Narrowed afterwards: what a target can do at its best is told by all points, whatever is asked for.
    found = robust_front(front, bounds.values)
    found = replace(found, front=_narrowed(found.front, bounds, None))
    if json or format is Format.JSON:
        write_or_print(found.to_dict(), out)
    elif format is Format.TABLE:
        from nas.cli.tables import print_robust

        print_robust(result_console(), found)
    else:
        raise InvalidSpec(
            [Problem("--format", f"{format} is not available with --robust; accepted: table, json")]
        )


def _narrowed(front: Front, bounds: Bounds, target: str | None) -> Front:
    """The points within the bounds, which from then on are what was asked; on one target alone, or on all.

    Raises:
        NothingMeetsBounds: no point is.
    """
    from nas.objectives.names import matching
    from nas.views import front_of_target

    targets = front.targets if target is None else matching(target, front.targets)
    if not targets or (target is not None and len(targets) > 1):
        accepted = ", ".join(map(str, front.targets))
        said = "several targets of the job match" if targets else "no target of the job matches"
        raise InvalidSpec([Problem("--target", f"{said} {target!r}; accepted: {accepted}")])
    if target is not None:
        front = front_of_target(front, targets[0])
    bounds.check(front)
    asked = {bounded.key: bounded.bound for bounded in front.bounded(bounds.values)}
    objectives = [replace(o, bound=asked.get(o.key, o.bound)) for o in front.objectives]
    points = front.select(bounds.values, front.points)
    if front.points and not points:
        raise NothingMeetsBounds(replace(front, objectives=tuple(objectives)).why_empty())
    return replace(front, objectives=tuple(objectives), points=tuple(points))


def best(
    context: typer.Context,
    job: Job,
    maximum: Maximum = None,
    minimum: Minimum = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Measure and evaluate the optimum; it becomes one of the job's points."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Show the point of best quality within bounds (the job's own where none are given), and the optimum.

    The point was evaluated and measured. The optimum is the architecture, tried or not, that is provably
    best by the job's models: what there may be to gain, until it is verified.

    [dim]nas best latest --max latency_ms=8[/dim]
    [dim]nas best latest --max latency_ms@phone=40 --max latency_ms@server=8 --max params=3e6 --verify[/dim]
    [dim]nas best latest --min accuracy=0.9 --max params=3e6[/dim]
    """
    bounds = parse_bounds(maximum, minimum)
    with open_client(context) as client:
        job = client.job(job).id
        _check(bounds, client, job)
        optimum, unknown = _optimum(client, job, bounds.values, verify)
        try:
            point = client.best(job, bounds.values or None)
        except NothingMeetsBounds as error:
            if optimum is None:
                raise
            raise NothingMeetsBounds(
                f"{error}; by the job's models {optimum.point.digest} would meet them: "
                "add --verify to measure it"
            ) from error
        front = client.front(job)
    if json:
        print_json({**point.to_dict(), "optimum": None if optimum is None else optimum.to_dict()})
        return
    from nas.cli.tables import print_optimum, print_point

    print_point(result_console(), front, point)
    print_optimum(result_console(), front, point, optimum, unknown)


def _check(bounds: Bounds, client: Client, job: str) -> None:
    from nas.front import Scope

    if bounds.values:
        bounds.check(client.front(job, Scope.FRONT, limit=1))


def _optimum(client: Client, job: str, bounds: dict[str, float], verify: bool) -> tuple[Optimum | None, str]:
    """The optimum, or why there is none to be shown beside a point."""
    try:
        return client.optimum(job, bounds, verify=verify), ""
    except (NoSuchPoint, NothingMeetsBounds) as error:
        if verify:
            raise
        return None, str(error)


def extract(
    context: typer.Context,
    job: Job,
    out: Annotated[Path, typer.Option(help="The folder to write; new, or empty.")],
    digest: Annotated[
        str | None, typer.Option(help="Digest of the point, or the beginning of it, as fronts print it.")
    ] = None,
    maximum: Maximum = None,
    minimum: Minimum = None,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="onnx: a graph and safetensors; hf: what Hugging Face's transformers loads; genai: what "
            "onnxruntime-genai generates with; openvino, executorch, litert: the engine's own files.",
            autocompletion=completion.formats,
        ),
    ] = "onnx",
    json: Json = False,
) -> None:
    """Cut a point out of the supernet as a standalone model: ONNX, safetensors, manifest.

    The point is named by its digest, or is the best within bounds.

    [dim]nas extract latest --max latency_ms=8 --out model[/dim]
    [dim]nas extract latest --digest 3b1f0c9a7d2e4f58 --out model --format hf[/dim]
    """
    bounds = parse_bounds(maximum, minimum)
    if digest == "":
        raise InvalidSpec([Problem("--digest", "it is empty; accepted: a digest, or the beginning of one")])
    if (digest is None) == (not bounds.values):
        accepted = "accepted: either --digest D, or bounds by --max or --min NAME=VALUE"
        raise InvalidSpec([Problem("--digest", accepted)])
    check_new_or_empty(out)
    with open_client(context) as client:
        job = client.job(job).id
        _check(bounds, client, job)
        chosen = digest or client.best(job, bounds.values).digest
        manifest = _extract(client, job, chosen, out, format)
    if json:
        print_json(manifest)
        return
    from nas.cli.tables import print_manifest

    print_manifest(result_console(), manifest, out)


def _extract(client: Client, job: str, digest: str, out: Path, format: str) -> dict[str, Any]:
    """The manifest of the folder `out`, which is converted here where another format is asked for."""
    if format == "onnx":
        return client.extract(job, digest, out)
    from nas.export.convert import convert_model_folder
    from nas.export.formats import get_format

    get_format(format)
    with TemporaryDirectory(prefix="nas-extract-") as folder:
        client.extract(job, digest, Path(folder) / "model")
        return convert_model_folder(Path(folder) / "model", out, format)
