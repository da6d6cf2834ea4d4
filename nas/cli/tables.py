"""Fronts and points as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from nas.cli.plain_table import PlainTable
from nas.comparison import Comparison
from nas.front import Front
from nas.objectives.latency_ms import LATENCY
from nas.objectives.names import shortest_part
from nas.optimum import Optimum
from nas.point import Point
from nas.report.columns import Column, columns
from nas.report.describe import (
    describe_comparison,
    describe_point,
    describe_quality,
    describe_value,
    describe_verdict,
    known_latency,
    readable_metric,
)
from nas.report.explanation import importance_rows, member_rows, shared_sentences
from nas.report.numbers import MILLISECONDS, readable_bytes
from nas.report.scores import score_columns
from nas.report.strip import Strips
from nas.views import JointFront, RobustFront
from searchspaces.architecture import Architecture
from workers.target import Target

__all__ = [
    "print_comparisons",
    "print_explanation",
    "print_front",
    "print_joint",
    "print_manifest",
    "print_optimum",
    "print_point",
    "print_robust",
    "strip_text",
]


def strip_text(strips: Strips, architecture: Architecture) -> Text:
    """One coloured glyph and bar a layer."""
    text = Text(no_wrap=True)
    if around := strips.around(architecture):
        text.append(f"{around} ", "dim")
    for cell in strips.cells(architecture):
        text.append(cell.glyph, f"bold {cell.colour}").append(cell.bar + " ", cell.colour)
    return text


def print_front(console: Console, front: Front) -> None:
    """A table a target: the front's points by latency, then the presets that are not on it; a legend."""
    if not front.points:
        console.print(front.why_empty())
        return
    strips = Strips(point.architecture for point in front.points)
    for target in front.targets:
        console.print(_front_table(front, target, strips))
    console.print(_legend(strips))
    members = sum(point.on_front for point in front.points)
    console.print(
        f"[dim]{members} of {front.evaluated} architectures on the front · "
        f"hypervolume {front.hypervolume():.4g}[/]"
    )


def print_robust(console: Console, robust: RobustFront) -> None:
    """The points that serve every target, by their worst ratio; what each target can do at its best."""
    front, members = robust.front, robust.members()
    strips = Strips(point.architecture for point in members)
    unit = readable_metric(front.metric)
    latencies = [f"{target}\nms" for target in front.targets]
    counted = [column for column in columns(front, front.targets[0]) if column.key[1] is None]
    numbers = ("worst\nratio", *latencies, f"validation\n{unit}", "test", *_heads(counted))
    table = PlainTable("digest", "layers", *numbers, right=numbers)
    table.title = Text(front.job, "bold").append(" on all of its targets", "not bold")
    for point in sorted(members, key=lambda point: robust.worst_ratio[point.digest]):
        table.add_row(
            point.digest[:8],
            strip_text(strips, point.architecture),
            f"{robust.worst_ratio[point.digest]:.2f}",
            *(describe_value(point.known(LATENCY, t), MILLISECONDS)[-1] for t in front.targets),
            describe_quality(point.validation),
            describe_quality(point.test),
            *(column.cell(point) for column in counted),
        )
    best = [f"{ms:.2f}" for ms in robust.best_ms.values()]
    table.add_row("", Text("each target's best", "italic"), "", *best, style="dim")
    console.print(table)
    console.print(_legend(strips))


def print_joint(console: Console, joint: JointFront) -> None:
    """The members of a front over several jobs, the fastest first, each with the job that it came from."""
    front, (target,) = joint.front, joint.front.targets
    members = sorted(front.members(), key=lambda point: known_latency(point, target) or float("inf"))
    strips = Strips(point.architecture for point in members)
    unit = readable_metric(front.metric)
    numbers = ("predicted\nms", "measured\nms", f"validation\n{unit}", "test")
    table = PlainTable("digest", "layers", *numbers, "job", right=numbers)
    table.title = Text(front.job, "bold").append(f" on {target}", "not bold")
    for point in members:
        table.add_row(
            point.digest[:8],
            strip_text(strips, point.architecture),
            *describe_value(point.known(LATENCY, target), MILLISECONDS),
            describe_quality(point.validation),
            describe_quality(point.test),
            joint.jobs[point.digest],
        )
    console.print(table)
    console.print(_legend(strips))
    if joint.left_out:
        others = ", ".join(joint.left_out)
        console.print(f"[dim]left out, of other data or of another space of that name: {others}[/]")


def _front_table(front: Front, target: Target, strips: Strips) -> PlainTable:
    scores, shown = score_columns(front, target), columns(front, target)
    said = [column.short for column in scores]
    numbers = ("asked\nms", "predicted\nms", "measured\nms", *said, *_heads(shown))
    best = [column.short for column in scores if column.unit]
    test = [column.short for column in scores if not column.unit][:1]
    needed = ("digest", "measured\nms", *best, "layers", *test, "predicted\nms")
    table = PlainTable("digest", "layers", *numbers, "", right=numbers, keep=needed)
    table.title = Text(front.job, "bold").append(f" on {target}", "not bold")
    latency = LATENCY, str(target)
    asked = next((o.bound for o in front.objectives if o.key == latency and o.bound is not None), None)
    members = [point for point in front.points if point.on_front]
    baselines = [point for point in front.points if point.preset and not point.on_front]
    for points, style in ((members, ""), (baselines, "dim")):
        if points is baselines and baselines:
            table.add_row("", Text("published, off the front", "italic"), style=style)
        for point in sorted(points, key=lambda point: known_latency(point, target) or float("inf")):
            table.add_row(
                point.digest[:8],
                strip_text(strips, point.architecture),
                "–" if asked is None else f"≤ {asked:g}",
                *describe_value(point.values.get(latency), MILLISECONDS),
                *(column.cell(point) for column in scores),
                *(column.cell(point) for column in shown),
                f"★ {point.preset}" if point.preset else "",
                style=style,
            )
    return table


def _heads(shown: Sequence[Column]) -> list[str]:
    """A word a line, and what was asked."""
    return ["\n".join([*column.short.split(), column.asked]).rstrip() for column in shown]


def _legend(strips: Strips) -> Text:
    text = Text()
    for cell in strips.mixer_legend():
        text.append(cell.glyph + cell.bar, f"bold {cell.colour}").append(f" {cell.title}  ", "dim")
    text.append("\nbar: feed-forward width over model width  ", "dim")
    for bar, ratio in strips.ratio_legend():
        text.append(f"{bar} ×{ratio:g}  ", "dim")
    return text.append("· ★ published design", "dim")


def print_comparisons(console: Console, front: Front, comparisons: Sequence[Comparison]) -> None:
    """Whether what was found is better than published designs that are no faster, as far as noise lets one
    say."""
    if not comparisons:
        console.print("[yellow]nothing found has a published design beside it that is no faster[/]")
        return
    steps = comparisons[0].steps
    how = f"each trained alone for {steps:,} steps" if steps else "with the supernet's weights"
    sequences = comparisons[0].difference.sequences
    console.print(f"Beside published designs that are no faster, {how}, on {sequences} test sequences:")
    for target, here in groupby(comparisons, key=lambda comparison: comparison.target):
        if len(front.targets) > 1:
            console.print(f"[dim]{shortest_part(target, front.targets)}[/]")
        for comparison in here:
            console.print(describe_comparison(comparison, front.metric, front.direction), highlight=False)
    console.print(describe_verdict(comparisons, front.direction), highlight=False)


def print_point(console: Console, front: Front, point: Point) -> None:
    """Everything that is known of one point."""
    strips = Strips(each.architecture for each in front.points)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("layers", strip_text(strips, point.architecture))
    for target in front.targets:
        facts.add_row("target", str(target))
        for name, value in describe_point(point, front.metric, target):
            facts.add_row(name, value)
    console.print(facts)
    console.print(_layers_table(point.architecture))
    console.print(f"[dim]its model: nas extract {front.job} --digest {point.digest} --out DIR[/]")


def print_explanation(console: Console, explanation: Mapping[str, Any]) -> None:
    """Which genes matter for what, what the front's members share, and why they are on it."""
    objectives, rows = importance_rows(explanation)
    table = PlainTable("gene", *objectives, right=tuple(objectives))
    table.title = Text("what matters", "bold").append(
        f" from {explanation['evaluations']} evaluations", "not bold dim"
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for sentence in shared_sentences(explanation):
        console.print(f"• {escape(sentence)}", soft_wrap=True)
    table = PlainTable("on the front", "best in", "its alone", right=("its alone",))
    for row in member_rows(explanation):
        table.add_row(*row)
    console.print(table)
    console.print("[dim]its alone: the share of the hypervolume that the front would lose without it[/]")


def print_optimum(console: Console, front: Front, best: Point, optimum: Optimum | None, unknown: str) -> None:
    """What the models prove best, beside the best point that is verified.

    Args:
        unknown: why there is no optimum, where there is none.
    """
    if optimum is None:
        console.print(f"[dim]no proved optimum: {escape(unknown)}[/]", soft_wrap=True)
        return
    unit = readable_metric(front.metric)
    proved = "proved" if optimum.gap == 0 else f"proved to {optimum.gap:.2%}"
    nearest = "" if optimum.exact else ", latency by the nearest sum over layers"
    console.print(
        f"\n[bold]optimum of the models[/] ({proved}; quality learned from {optimum.evaluations} evaluations"
        f"{nearest}; {optimum.seconds:.1f} s)",
        soft_wrap=True,
    )
    if optimum.refuted:
        points = "1 point is" if optimum.refuted == 1 else f"{optimum.refuted} points are"
        console.print(f"[dim]{points} left out, which measurement has shown outside the bounds[/]")
    if optimum.point.digest == best.digest:
        console.print("it is the point above")
        return
    facts = Table.grid(padding=(0, 2))
    strips = Strips([*(each.architecture for each in front.points), optimum.point.architecture])
    facts.add_row("layers", strip_text(strips, optimum.point.architecture))
    facts.add_row("expected", f"{optimum.quality:.3f}±{optimum.quality_std:.3f} {unit}")
    for target in front.targets:
        facts.add_row("target", str(target))
        for name, value in describe_point(optimum.point, front.metric, target):
            facts.add_row(name, value)
    console.print(facts)
    if not optimum.point.verified:
        console.print(
            "[dim]not verified: the bounds are met by prediction alone, and the most promising of many is a "
            "little less good than it looks; add --verify[/]",
            soft_wrap=True,
        )
    elif optimum.measured:
        console.print("[dim]verified: the bounds are met by what was measured[/]", soft_wrap=True)


def _layers_table(architecture: Architecture) -> PlainTable:
    table = PlainTable(
        "layer", "mixer", "heads", "channel", "ratio", "F", right=("layer", "heads", "ratio", "F")
    )
    for number, layer in enumerate(architecture.layers, 1):
        table.add_row(
            str(number),
            layer.mixer,
            str(layer.heads) if layer.heads else "–",
            layer.channel,
            f"{layer.ratio:g}",
            f"{layer.ratio * architecture.width:.0f}",
        )
    return table


def print_manifest(console: Console, manifest: Mapping[str, Any], out: Path) -> None:
    """What was written where, and how closely the exported model agrees with the supernet."""
    console.print(f"model written to [bold]{escape(str(out))}[/]")
    for file in sorted(out.iterdir()):
        console.print(f"  {file.name}  [dim]{readable_bytes(file.stat().st_size)}[/]")
    predicted = manifest["quality"].get("delivered")
    if manifest["tuned"] is None and predicted is not None:
        score = describe_quality(manifest["quality"]["validation"])
        console.print(
            f"[dim]its weights are the supernet's, which score {score}; trained alone it would score about "
            f"{predicted['predicted']:.3f}[/]",
            soft_wrap=True,
        )
