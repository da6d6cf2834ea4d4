"""Jobs, spaces, tasks and presets as people read them in a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.text import Text

from nas.cli.plain_table import PlainTable
from nas.cli.tables import strip_text
from nas.front import Front
from nas.job import Job, JobStatus, TargetProfile
from nas.report.strip import Strips
from nas.store import Forgotten
from searchspaces.architecture import Architecture

__all__ = [
    "CATALOGUE_TABLES",
    "devices_table",
    "forgotten_table",
    "jobs_table",
    "measurements_table",
    "print_job",
    "profiles_table",
    "targets_table",
]

STATUS_STYLES = {
    JobStatus.SUCCEEDED: "green",
    JobStatus.RUNNING: "cyan",
    JobStatus.FAILED: "red",
    JobStatus.INTERRUPTED: "yellow",
}


def _status(job: Job) -> Text:
    status = Text(str(job.status), STATUS_STYLES.get(job.status, "dim"))
    return status.append(f" in {job.stage}", "dim") if job.stage else status


def _local_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def jobs_table(jobs: Sequence[Job]) -> PlainTable:
    """One row a job."""
    owned = ("owner",) if any(job.owner for job in jobs) else ()
    table = PlainTable(
        "job",
        *owned,
        "status",
        "space",
        "task",
        "targets",
        "created",
        keep=("job", "status", *owned, "created", "task", "space"),
    )
    for job in jobs:
        spec = job.spec
        space = spec.space_name
        targets = ", ".join(str(target.target()) for target in spec.targets)
        table.add_row(
            job.id,
            *([f"{job.owner or '–'}{' (shared)' if job.shared else ''}"] if owned else []),
            _status(job),
            str(space),
            spec.task.name if spec.task else "–",
            targets,
            _local_time(job.created_at),
        )
    return table


def profiles_table(profiles: Sequence[TargetProfile]) -> PlainTable:
    """One row a target: how well its predictor does on architectures that it never saw."""
    numbers = (
        "measured",
        "of them blocks",
        "held out",
        "mean error",
        "within ±10%",
        "within ±5%",
        "Spearman",
        "in 90% interval",
    )
    needed = ("target", "mean error", "within ±10%", "measured", "held out")
    table = PlainTable("target", "predictor", *numbers, right=numbers, keep=needed)
    for found in profiles:
        table.add_row(
            str(found.target),
            found.predictor,
            str(found.measured),
            str(found.single_blocks),
            str(found.held_out),
            f"{found.mape:.1%}",
            f"{found.within_10:.0%}",
            f"{found.within_5:.0%}",
            f"{found.spearman:.3f}",
            f"{found.coverage_90:.0%}",
        )
    return table


def print_job(
    console: Console, job: Job, profiles: Sequence[TargetProfile], front: Front | None, said: str | None
) -> None:
    """Where it stands, what was asked for, and how much it has found.

    Args:
        front: its members; None of a job that ends before its search.
        said: what it said last, where it has not ended.
    """
    console.print(Text(job.id, "bold").append("  ").append(_status(job)))
    if said:
        console.print(escape(said), soft_wrap=True)
    console.print(
        f"[dim]created {_local_time(job.created_at)} · last change {_local_time(job.updated_at)}[/]"
    )
    if job.error:
        console.print(f"[red]{escape(job.error)}[/]", soft_wrap=True)
    text = yaml.safe_dump(job.spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    if console.is_terminal:
        console.print(Syntax(text.rstrip(), "yaml", theme="ansi_dark", background_color="default"))
    else:
        console.print(text.rstrip(), markup=False, soft_wrap=True)
    if profiles:
        console.print(profiles_table(profiles))
    if front is not None and front.evaluated:
        console.print(
            f"{front.evaluated} architectures evaluated, {len(front.points)} on the front, hypervolume "
            f"{front.hypervolume():.4g}: [bold]nas front {job.id}[/]",
            soft_wrap=True,
        )
    if job.status not in (JobStatus.SUCCEEDED, JobStatus.CANCELLED):
        console.print(f"go on with: [bold]nas resume {job.id}[/]")


def spaces_table(spaces: Sequence[dict[str, Any]]) -> PlainTable:
    """One row a space."""
    table = PlainTable(
        "space",
        "codes",
        "depth",
        "width",
        "context",
        "mixers",
        "description",
        right=("codes",),
        keep=("space", "codes", "description", "mixers"),
        prose=("mixers", "description"),
    )
    for space in spaces:
        table.add_row(
            space["name"],
            f"{space['size']:.1e}",
            _options(space["depth"]),
            _options(space["width"]),
            str(space["context"]),
            " ".join(space["layer"]["mixer"]),
            space["description"],
        )
    return table


def tasks_table(tasks: Sequence[dict[str, Any]]) -> PlainTable:
    """One row a task."""
    table = PlainTable("task", "metric", "better", "options", "description", prose=("options", "description"))
    for task in tasks:
        better = "lower" if task["direction"] == "min" else "higher"
        name = f"{task['name']} ({task['distribution']})" if task.get("distribution") else task["name"]
        plain = f" Plain baselines: {said}." if (said := task.get("baseline")) else ""
        description = task["description"] + plain
        table.add_row(name, task["metric"], better, ", ".join(task["options"]), description)
    return table


def mixers_table(mixers: Sequence[dict[str, Any]]) -> PlainTable:
    """One row a mixer."""
    prose = ("kernel", "sees", "source")
    table = PlainTable(
        "mixer",
        "",
        "kind",
        "sight",
        "grids",
        "state",
        "work",
        *prose,
        keep=("mixer", "", "sight"),
        prose=prose,
    )
    for mixer in mixers:
        option = ",".join(each["name"] for each in mixer["parameters"])
        growth = max(mixer["growth"].values())
        table.add_row(
            f"{mixer['name']}:{option}" if option else mixer["name"],
            mixer["glyph"],
            mixer["kind"],
            "both" if len(mixer["sights"]) > 1 else mixer["sights"][0],
            ", ".join(f"{dimensions}D" for dimensions in mixer["dimensions"]) or "–",
            mixer["state"],
            "N²" if growth > 1.9 else "N" if growth > 0.9 else "–",
            mixer["kernel"],
            mixer["sparsity"],
            mixer["source"] or "–",
        )
    return table


def presets_table(presets: Sequence[dict[str, Any]]) -> PlainTable:
    """One row a published design."""
    architectures = [Architecture.from_dict(preset["architecture"]) for preset in presets]
    strips = Strips(architectures)
    table = PlainTable(
        "preset", "layers", "digest", "source", keep=("preset", "digest", "layers"), prose=("source",)
    )
    for preset, architecture in zip(presets, architectures, strict=True):
        table.add_row(
            f"★ {preset['name']}", strip_text(strips, architecture), preset["digest"][:8], preset["source"]
        )
    return table


def targets_table(rows: Sequence[dict[str, Any]]) -> PlainTable:
    """One row a target."""
    numbers = ("measurements", "sessions\ndiffer by", "pairs")
    table = PlainTable("target", *numbers, right=numbers, keep=("target", "measurements"))
    for row in rows:
        sessions = f"{row['session_error']:.1%}", str(row["session_pairs"])
        table.add_row(row["target"], str(row["measurements"]), *sessions)
    return table


def measurements_table(rows: Sequence[dict[str, Any]]) -> PlainTable:
    """One row a measurement; what sessions differ by below."""
    architectures = [Architecture.from_dict(row["architecture"]) for row in rows]
    strips = Strips(architectures)
    # Only a target that was disturbed has the columns.
    disturbed = ("first\nms", "slowdown") if any(row["first"] for row in rows) else ()
    numbers = ("ms", "±", *disturbed, "drift", "MB")
    table = PlainTable(
        "layers", "digest", *numbers, "", "measured", right=numbers, keep=("digest", "ms", "±", "", "layers")
    )
    for row, architecture in zip(rows, architectures, strict=True):
        table.add_row(
            strip_text(strips, architecture),
            row["digest"][:8],
            f"{row['latency_ms']:.3f}",
            f"{row['error_ms']:.3f}",
            *(_disturbed(row) if disturbed else ()),
            f"{row['drift']:.2f}",
            f"{row['peak_memory_bytes'] / 1e6:.0f}",
            "noisy" if row["noisy"] else "",
            _local_time(row["measured_at"]),
        )
    if rows:
        error, pairs = rows[0]["session_error"], rows[0]["session_pairs"]
        learned = f"{pairs} pairs" if pairs else "assumed"
        table.caption = Text(f"± includes {error:.1%} between sessions ({learned})", "dim")
    return table


def devices_table(devices: Sequence[dict[str, Any]]) -> PlainTable:
    """One row a device that is connected: what it does, and how it has done."""
    table = PlainTable(
        "device",
        "state",
        "measured",
        "failed",
        "last failure",
        right=("measured", "failed"),
        prose=("last failure",),
    )
    for device in devices:
        seconds = device.get("quarantined_seconds", 0.0)
        state = f"quarantined for {seconds:.0f} s" if seconds else "busy" if device.get("busy") else "idle"
        table.add_row(
            str(device["name"]),
            state,
            str(device.get("measured", 0)),
            str(device.get("failed", 0)),
            str(device.get("last_failure", "")),
        )
    return table


def forgotten_table(entries: Sequence[Forgotten]) -> PlainTable:
    """One row a measurement that was forgotten."""
    table = PlainTable("forgotten", "by", "target", "digest", "ms", "why", right=("ms",), prose=("why",))
    for entry in entries:
        table.add_row(
            _local_time(entry.forgotten_at),
            entry.by or "–",
            str(entry.target),
            entry.digest[:8],
            f"{entry.latency_ms:.4g}",
            entry.why,
        )
    return table


def _disturbed(row: dict[str, Any]) -> tuple[str, str]:
    """What was read first, and the slowdown that was divided out; blank where the device was undisturbed."""
    first, slowdown = row["first"], row["slowdown"]
    return f"{first['latency_ms']:.3f}" if first else "", "" if slowdown == 1.0 else f"÷{slowdown:.2f}"


def plugins_table(plugins: Sequence[dict[str, Any]]) -> PlainTable:
    """One row for each class that another distribution adds."""
    table = PlainTable("adds", "name", "from", "problem", prose=("problem",))
    for plugin in plugins:
        table.add_row(plugin["adds"], plugin["name"], plugin["distribution"], plugin["problem"] or "–")
    return table


CATALOGUE_TABLES = {
    "plugins": plugins_table,
    "spaces": spaces_table,
    "tasks": tasks_table,
    "mixers": mixers_table,
    "presets": presets_table,
}
"""How the listing of each noun is shown."""


def _options(options: Sequence[Any]) -> str:
    return " ".join(f"{option:g}" for option in options)
