"""Cutting a point of a front out of its supernet, as a folder of files that says what it is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.errors import JobFailed, NoSuchPoint
from nas.export import BlockLibrary, write_model_folder
from nas.front import Point
from nas.job import Job
from nas.stages.plan import resolve
from nas.store.store import Store
from nas.training import load_supernet

__all__ = ["extract_point"]


def extract_point(store: Store, home: Path, job: Job, digest: str, out: Path) -> dict[str, Any]:
    """Write the model folder of a job's point; returns its manifest.

    Args:
        digest: of the point, or an unambiguous beginning of it.

    Raises:
        NoSuchPoint: none or several points of the job begin so.
        JobFailed: the job's supernet is not trained yet.
        ModelRejected: the exported model's outputs differ from the supernet's.
    """
    point = _find(store.points(job.id), job.id, digest)
    plan = resolve(job.spec)
    record = store.supernet(plan.supernet_digest)
    if record is None:
        raise JobFailed(f"job {job.id} has no trained supernet yet; finish it with: nas resume {job.id}")
    supernet = load_supernet(plan.space, home / record.path)
    facts = {
        "job": job.id,
        "space": {"name": plan.space.name, "digest": plan.space.digest},
        "task": {"name": plan.spec.task.name, "digest": plan.task.digest},
        "supernet": {"digest": record.digest, "seed": record.seed, "steps": record.steps},
        "quality": {
            "metric": plan.task.metric,
            "direction": str(plan.task.direction),
            "validation": point.validation,
            "test": point.test,
        },
        "parameters": point.parameters,
        "macs": point.macs,
        "state_bytes": point.state_bytes,
        "latency_ms": {target: asdict(latency) for target, latency in point.latency_ms.items()},
        "preset": point.preset,
    }
    return write_model_folder(supernet.extract(point.architecture), out, facts, BlockLibrary(home / "blocks"))


def _find(points: list[Point], job_id: str, digest: str) -> Point:
    matching = [point for point in points if point.digest.startswith(digest)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise NoSuchPoint(f"{len(matching)} points of {job_id} begin with {digest!r}; give more digits")
    raise NoSuchPoint(
        f"job {job_id} has no point {digest!r}; its {len(points)} points: nas front {job_id} --json"
    )
