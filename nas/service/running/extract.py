"""Cutting a point of a front out of its supernet, as a folder of files that says what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import JobFailed, ModelRejected
from nas.evaluation import Evaluation, Split
from nas.export import BlockLibrary, attention_for, write_model_folder
from nas.job import Job
from nas.planning.plan import resolve
from nas.pretrained import read_parent
from nas.pretrained.folder import generation_config, tokenizer_files
from nas.stages.finalists import finalist_folder
from nas.store.files import verified
from nas.store.store import Store
from nas.tasks import Task
from nas.training import load_supernet
from nas.training.finetune import WEIGHTS_FILE, best_weights

if TYPE_CHECKING:
    from searchspaces.submodel import Submodel

__all__ = ["extract_point"]

SCORES_APART = 0.02
"""Of a sequence's score, or of 1 where that is more: what kernels make of the same weights."""


def extract_point(store: Store, home: Path, job: Job, digest: str, out: Path) -> dict[str, Any]:
    """Write the model folder of a job's point; returns its manifest. Its weights are the supernet's, or
    those of the point's own that fine-tuning left: then the manifest's `tuned` says so and names the parent.

    Args:
        digest: of the point, or an unambiguous beginning of it.

    Raises:
        NoSuchPoint: none or several points of the job begin so.
        JobFailed: the job's supernet is not trained yet, or a file that the store speaks of is gone.
        ModelRejected: a file is not what it was when it was written, the submodel does not score what the
            store has of it, or the exported model's outputs differ from the supernet's.
    """
    point = store.point(job.id, digest)
    plan = resolve(job.spec)
    record = store.supernet(plan.supernet_digest)
    if record is None:
        raise JobFailed(f"job {job.id} has no trained supernet yet; finish it with: nas resume {job.id}")
    supernet = verified(store, home, home / record.path)
    submodel = load_supernet(plan.space, supernet).extract(point.architecture)
    weights = record.digest
    if point.tuned is not None:
        weights = point.tuned.weights
        folder = finalist_folder(home, weights)
        verified(store, home, folder / WEIGHTS_FILE)
        _go_over(submodel, folder)
    scored = _compare_scores(submodel, plan.task, store.evaluations(weights, Split.TEST, [point.digest]))
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
        "scored": scored,
        "tuned": None if point.tuned is None else {**told["tuned"], "parent": record.digest},
        **{kind: told[kind] for kind, _ in point.values if kind in told},
        "preset": point.preset,
    }
    tokenizer = plan.task.tokenizer_files()
    if plan.spec.start is not None:
        parent = read_parent(Path(plan.spec.start.model))
        tokenizer = tokenizer_files(parent.folder)
        facts["parent"] = {
            "name": plan.spec.space_name,
            "digest": plan.spec.start.digest,
            "mixer": parent.mixer,
            "epsilon": parent.epsilon,
            "config": parent.config,
            "generation": generation_config(parent.folder),
        }
    attention = attention_for(plan.targets)
    return write_model_folder(
        submodel,
        out,
        facts,
        BlockLibrary(home / "blocks"),
        attention,
        tokenizer,
        plan.targets,
    )


def _go_over(submodel: Submodel, folder: Path) -> None:
    """To the weights that fine-tuning left."""
    best = best_weights(folder)
    if best is None:
        raise JobFailed(f"{folder} has no fine-tuned weights any more; the job's front says that it had")
    submodel.load_state_dict(best.tensors)


def _compare_scores(submodel: Submodel, task: Task, stored: Sequence[Evaluation]) -> dict[str, Any] | None:
    """Score the submodel on the first sequences of the test split, and compare with what was stored when it
    was evaluated: weights that are not those of then do not pass. None where nothing was stored.

    Raises:
        ModelRejected: a sequence's score is another.
    """
    import torch

    kept = stored[0].sequences if stored else ()
    batch = next(iter(task.evaluation_batches(Split.TEST)), None) if kept else None
    if batch is None:
        return None
    batch = batch[: len(kept)]
    with torch.inference_mode():
        answers = submodel(batch.inputs)
        scores = [task.score(answers[i : i + 1], batch.targets[i : i + 1]) for i in range(len(batch))]
    found = [value / tokens for value, tokens in scores]
    difference = max(abs(a - b) for a, b in zip(found, kept, strict=False))
    most = SCORES_APART * max(1.0, *(abs(value) for value in kept[: len(found)]))
    if not difference <= most:
        raise ModelRejected(
            f"the model scores {found[0]:.4g} {task.metric} on the first test sequence, the store has "
            f"{kept[0]:.4g}: its weights are not those that were evaluated"
        )
    return {"split": str(Split.TEST), "sequences": len(found), "largest_difference": difference}
