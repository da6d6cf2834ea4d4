"""Cutting a point of a front out of its supernet, as a folder of files that says what it is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.errors import JobFailed
from nas.export import BlockLibrary, write_model_folder
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
    point = store.point(job.id, digest)
    plan = resolve(job.spec)
    record = store.supernet(plan.supernet_digest)
    if record is None:
        raise JobFailed(f"job {job.id} has no trained supernet yet; finish it with: nas resume {job.id}")
    supernet = load_supernet(plan.space, home / record.path)
    facts = {
        "job": job.id,
        "space": {"name": plan.space.name, "digest": plan.space.digest},
        "task": {"name": plan.task.name, "digest": plan.task.digest},
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
