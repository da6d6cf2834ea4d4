"""Cutting a point of a front out of its supernet, as a folder of files that says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import JobFailed
from nas.export import BlockLibrary, attention_for, write_model_folder
from nas.job import Job
from nas.planning.plan import resolve
from nas.stages.finalists import finalist_folder
from nas.store.store import Store
from nas.training import load_supernet
from nas.training.finetune import best_weights

if TYPE_CHECKING:
    from searchspaces.submodel import Submodel

__all__ = ["extract_point"]


def extract_point(store: Store, home: Path, job: Job, digest: str, out: Path) -> dict[str, Any]:
    """Write the model folder of a job's point; returns its manifest. Its weights are the supernet's, or
    those of the point's own that fine-tuning left: then the manifest's `tuned` says so and names the parent.

    Args:
        digest: of the point, or an unambiguous beginning of it.

    Raises:
        NoSuchPoint: none or several points of the job begin so.
        JobFailed: the job's supernet is not trained yet, or a file that the store speaks of is gone.
        ModelRejected: the exported model's outputs differ from the supernet's.
    """
    point = store.point(job.id, digest)
    plan = resolve(job.spec)
    record = store.supernet(plan.supernet_digest)
    if record is None:
        raise JobFailed(f"job {job.id} has no trained supernet yet; finish it with: nas resume {job.id}")
    submodel = load_supernet(plan.space, home / record.path).extract(point.architecture)
    if point.tuned is not None:
        _go_over(submodel, finalist_folder(home, point.tuned.weights))
    told = point.to_dict()
    facts = {
        "job": job.id,
        "space": {"name": plan.space.name, "digest": plan.space.digest},
        "task": {
            "name": plan.task.name,
            "digest": plan.task.digest,
            "options": plan.task.options.model_dump(mode="json"),
        },
        "supernet": {"digest": record.digest, "seed": record.seed, "steps": record.steps},
        "quality": {
            "metric": plan.task.metric,
            "direction": str(plan.task.direction),
            **told.pop("quality"),
        },
        "tuned": None if point.tuned is None else {**told["tuned"], "parent": record.digest},
        **{kind: told[kind] for kind, _ in point.values if kind in told},
        "preset": point.preset,
    }
    attention = attention_for(plan.targets)
    return write_model_folder(submodel, out, facts, BlockLibrary(home / "blocks"), attention)


def _go_over(submodel: Submodel, folder: Path) -> None:
    """To the weights that fine-tuning left."""
    best = best_weights(folder)
    if best is None:
        raise JobFailed(f"{folder} has no fine-tuned weights any more; the job's front says that it had")
    submodel.load_state_dict(best.tensors)
