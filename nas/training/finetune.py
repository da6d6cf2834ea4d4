"""Training one architecture's own weights: it reports at rungs and resumes where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import JobFailed
from nas.evaluation import Split
from nas.spec import FinalistBudget
from nas.tasks import Task
from nas.training.checkpoint import load_checkpoint, save_checkpoint
from nas.training.optimizer import HealingOptimizer, ModelOptimizer, SupernetOptimizer
from nas.training.schedule import learning_rate_factor
from nas.training.trainer import CHECKPOINT_SECONDS, GRADIENT_NORM, PROGRESS_SECONDS

if TYPE_CHECKING:
    from torch import Tensor

    from nas.pretrained.teacher import Teacher
    from searchspaces.submodel import Submodel

__all__ = [
    "REDUCTION",
    "WEIGHTS_FILE",
    "BestWeights",
    "Diverged",
    "FineTuning",
    "best_weights",
    "finetune",
    "rungs",
]

REDUCTION = 3
"""Between the steps of one rung and of the next; the share that goes on, in successive halving."""

RUNGS = 3

WEIGHTS_FILE = "model.safetensors"
"""In the folder of a training: the weights of its best rung."""


class Diverged(Exception):
    """The loss of a training is no finite number: the model has no quality, and would have none again."""


def rungs(budget: FinalistBudget) -> tuple[int, ...]:
    """Steps after which a model is scored: a ninth, a third, all of them, without repeats; where all are to
    be trained to the same end, that end alone."""
    powers = range(RUNGS if budget.start == "supernet" and budget.stop_early else 1)
    return tuple(sorted({max(1, round(budget.steps / REDUCTION**power)) for power in powers}))


@dataclass(frozen=True, slots=True)
class FineTuning:
    """One model to train.

    Attributes:
        task: learned, and scored on its validation split.
        first_batch: number of the task's first training batch; those before it have been learned from.
        context: N, tokens of a training sequence.
        seed: of the batches.
        teacher: whose predictions are learned in place of the batch's own tokens; None for these.
        folder: keeps `checkpoint.safetensors` while training, and `model.safetensors`, the weights of
            the best rung so far.
    """

    task: Task
    budget: FinalistBudget
    first_batch: int
    context: int
    seed: int
    folder: Path
    teacher: Teacher | None = None


@dataclass
class _Log:
    """What a run remembers besides tensors.

    Attributes:
        steps: taken.
        scores: (steps, the task's metric on the validation split) of the rungs so far.
    """

    steps: int = 0
    scores: list[tuple[int, float]] = field(default_factory=list)


def finetune(
    submodel: Submodel,
    job: FineTuning,
    limit: int,
    report: Callable[[int, float], None],
    progress: Callable[[int], None],
    stop: Callable[[], bool],
) -> None:
    """Train, or go on from the checkpoint in the job's folder, until `limit` steps are taken.

    Args:
        submodel: with the weights to start from; changed in place.
        limit: at most the budget's steps, which the learning rate's schedule goes by.
        report: called after each rung with the steps and the task's metric on the validation split, after
            both were saved; first, at once, for the rungs of earlier runs. It need not return.
        progress: called about once a second with the steps taken.
        stop: asked before every step; where it answers True the state is saved and the call returns.

    Raises:
        Diverged: the loss is no finite number.
        JobFailed: the checkpoint is unreadable.
        StoreUnavailable: the disk cannot take a checkpoint.
    """
    path = job.folder / "checkpoint.safetensors"
    optimizer: ModelOptimizer = (HealingOptimizer if job.teacher else SupernetOptimizer)(submodel)
    log = _Log()
    if path.is_file():
        log = _restore(path, submodel, optimizer)
    for steps, value in log.scores:
        report(steps, value)
    saved = told = time.monotonic()
    while log.steps < limit and not stop():
        _step(submodel, optimizer, job, log.steps)
        log.steps += 1
        at_rung = log.steps in rungs(job.budget)
        if at_rung:
            _score(submodel, job, log)
        now = time.monotonic()
        if at_rung or now - saved >= CHECKPOINT_SECONDS:
            _save(path, submodel, optimizer, log)
            saved = now
        if now - told >= PROGRESS_SECONDS:
            progress(log.steps)
            told = now
        if at_rung:
            report(*log.scores[-1])
    _save(path, submodel, optimizer, log)


@dataclass(frozen=True, slots=True)
class BestWeights:
    """What the best rung of a fine-tuning left.

    Attributes:
        tensors: the submodel's weights by name.
        steps: taken by then.
        validation: the task's metric on the validation split.
        seconds: wall time that scoring it took.
    """

    tensors: dict[str, Tensor]
    steps: int
    validation: float
    seconds: float


def best_weights(folder: Path) -> BestWeights | None:
    """Of the fine-tuning in that folder; None where it has reached no rung.

    Raises:
        JobFailed: the file is unreadable.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        return None
    tensors, facts = load_checkpoint(path)
    return BestWeights(tensors, **facts)


def _step(submodel: Submodel, optimizer: ModelOptimizer, job: FineTuning, number: int) -> None:
    import torch

    budget = job.budget
    batch = job.task.batch(job.first_batch + number, job.seed, budget.batch, job.context)
    submodel.zero_grad()
    if job.teacher is None:
        whole = job.task.loss(submodel(batch.inputs), batch.targets)
        whole.backward()
        loss = whole.item()
    else:
        loss = job.teacher.backward(submodel, batch.inputs)
    if not math.isfinite(loss):
        accepted = f"try a learning_rate below {budget.learning_rate:g}"
        raise Diverged(f"its loss is {loss} at step {number}; {accepted}")
    torch.nn.utils.clip_grad_norm_(submodel.parameters(), GRADIENT_NORM)
    optimizer.step(budget.learning_rate * learning_rate_factor(number, budget.steps))


def _score(submodel: Submodel, job: FineTuning, log: _Log) -> None:
    """Note the score; keep the weights where no rung before was better."""
    import torch

    begun = time.perf_counter()
    with torch.inference_mode():
        value = job.task.evaluate(submodel, Split.VALIDATION)
    seconds = time.perf_counter() - begun
    sign = job.task.direction.sign
    if all(sign * value < sign * earlier for _, earlier in log.scores):
        facts = {"steps": log.steps, "validation": value, "seconds": seconds}
        save_checkpoint(job.folder / WEIGHTS_FILE, submodel.state_dict(), facts)
    log.scores.append((log.steps, value))


def _save(path: Path, submodel: Submodel, optimizer: ModelOptimizer, log: _Log) -> None:
    weights = {f"weight/{name}": value for name, value in submodel.state_dict().items()}
    save_checkpoint(path, weights | optimizer.tensors(), asdict(log))


def _restore(path: Path, submodel: Submodel, optimizer: ModelOptimizer) -> _Log:
    tensors, facts = load_checkpoint(path)
    weights = {
        key.removeprefix("weight/"): value for key, value in tensors.items() if key.startswith("weight/")
    }
    try:
        submodel.load_state_dict(weights)
    except RuntimeError as error:
        raise JobFailed(f"{path} is of another model ({error}); delete it to start afresh") from error
    optimizer.load({key: value for key, value in tensors.items() if not key.startswith("weight/")})
    return _Log(facts["steps"], [(steps, value) for steps, value in facts["scores"]])
