"""What the page reads: jobs, events, fronts and architectures as plain data; a cloud as bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from nas.cloud import Cloud
from nas.front import Front
from nas.job import Event, Job
from nas.point import Point
from nas.report.columns import label_of, unit_of
from nas.report.strip import family_hues
from nas.views import JointFront, RobustFront
from searchspaces.architecture import NO_MIXER, Architecture
from searchspaces.mixers import MIXERS, parse_mixer
from workers.target import Target

__all__ = [
    "cloud_bytes",
    "event_document",
    "front_document",
    "job_document",
    "joint_document",
    "layer_documents",
    "look_document",
    "robust_document",
]


def job_document(job: Job) -> dict[str, Any]:
    """Where a job stands and what it was asked."""
    spec = job.spec
    return {
        "id": job.id,
        "status": str(job.status),
        "stage": job.stage and str(job.stage),
        "stages": [str(stage) for stage in spec.stages],
        "error": job.error,
        "error_kind": job.error_kind,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "last_event": job.last_event,
        "space": spec.space_name,
        "task": spec.task_name,
        "targets": [str(item.target()) for item in spec.targets],
        "spec": spec.model_dump(mode="json"),
    }


def event_document(event: Event) -> dict[str, Any]:
    """One thing that happened."""
    return {
        "sequence": event.sequence,
        "kind": str(event.kind),
        "stage": event.stage and str(event.stage),
        "message": event.message,
        "done": event.done,
        "total": event.total,
        "time": event.time,
    }


def front_document(front: Front) -> dict[str, Any]:
    """A front's members and presets, and how its objectives are called."""
    return {**_shown(front).to_dict(), "labels": _labels(front)}


def robust_document(robust: RobustFront) -> dict[str, Any]:
    """The same of a robust front, with each point's worst ratio."""
    shown = replace(robust, front=_shown(robust.front))
    return {**shown.to_dict(), "labels": _labels(robust.front)}


def joint_document(joint: JointFront) -> dict[str, Any]:
    """The same over several jobs, with the job of each point."""
    return {**joint.to_dict(), "labels": _labels(joint.front)}


def _shown(front: Front) -> Front:
    return replace(front, points=tuple(p for p in front.points if p.on_front or p.preset))


def _labels(front: Front) -> dict[str, dict[str, str]]:
    kinds = {kind for point in front.points for kind, _ in point.values} | {o.kind for o in front.objectives}
    return {kind: {"label": label_of(kind), "unit": unit_of(kind)} for kind in sorted(kinds)}


def layer_documents(point: Point, target: Target | None) -> list[dict[str, Any]]:
    """Of each layer its genes, and what it weighs.

    Args:
        target: whose number of tokens states are counted at; one sequence of 1,024 where None.
    """
    tokens = 1024 if target is None else target.workload.tokens
    return [_layer(point.architecture, number, tokens) for number in range(len(point.architecture.layers))]


def _layer(architecture: Architecture, number: int, tokens: int) -> dict[str, Any]:
    layer = architecture.layers[number]
    sizes = layer.sizes(architecture.width)
    state = 0 if layer.mixer == NO_MIXER else parse_mixer(layer.mixer).state_bytes(sizes, tokens)
    return {**layer.to_dict(), "width": architecture.width, "hidden": sizes.hidden, "state_bytes": state}


def look_document() -> dict[str, Any]:
    """Of each mixer the letter and the colour that stand for it everywhere."""
    hues = family_hues()
    return {name: {"glyph": MIXERS.get(name).glyph, "colour": hues[name]} for name in hues}


def cloud_bytes(cloud: Cloud) -> Iterable[bytes]:
    """A line of JSON that names the columns, padded to a multiple of 8 bytes; then the digests, 8 bytes each,
    and each column, 4 bytes a value; all little-endian."""
    columns = [{"kind": kind, "target": target} for kind, target in cloud.columns]
    header = json.dumps({"count": len(cloud), "columns": columns}).encode()
    yield header + b" " * (-(len(header) + 1) % 8) + b"\n"
    yield cloud.digests.astype("<u8").tobytes()
    for column in cloud.columns.values():
        yield np.asarray(column, "<f4").tobytes()
