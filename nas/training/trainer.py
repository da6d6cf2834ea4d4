"""Training one supernet: nested sampling, checkpoints, and a resume that changes no bit."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import JobFailed
from nas.spec import TrainBudget
from nas.tasks import Task
from nas.training.checkpoint import load_checkpoint, save_checkpoint
from nas.training.optimizer import SupernetOptimizer
from nas.training.ranks import Alone, Ranks
from nas.training.schedule import learning_rate_factor, sampled_architectures
from searchspaces.space import SearchSpace

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.supernet import Supernet

__all__ = ["Trainer", "TrainingResult", "load_supernet", "train_supernet"]

GRADIENT_NORM = 1.0
"""Gradients are clipped to this norm over all weights."""

CHECKPOINT_SECONDS = 10.0
PROGRESS_SECONDS = 1.0
RECENT_STEPS = 50


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How training ended.

    Attributes:
        path: the supernet's safetensors file; it exists once `steps` is the budget's.
        steps: optimiser steps taken; fewer than the budget's where `stop` ended it.
        tokens_per_second: training tokens over the time of all steps, earlier runs' included.
        losses: (steps,) training loss in nats of each step.
    """

    path: Path
    steps: int
    tokens_per_second: float
    losses: tuple[float, ...]


class Trainer:
    """A supernet and its optimiser, one step at a time.

    Everything random in a step is a function of (seed, step), so `tensors` is the whole state.

    Args:
        ranks: that share every batch, each with a trainer of its own; all hold the same bits after every
            step. Rank r of R takes sequences r, r + R, … of a batch and gradients are summed, so that R
            changes a step by the order of its sums alone.
    """

    def __init__(
        self, space: SearchSpace, task: Task, budget: TrainBudget, seed: int, ranks: Ranks | None = None
    ) -> None:
        import torch

        from searchspaces.supernet import Supernet

        self.space, self.task, self.budget, self.seed = space, task, budget, seed
        self.ranks: Ranks = ranks or Alone()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.supernet = Supernet(space).to(self.ranks.device)
        self.optimizer = SupernetOptimizer(self.supernet)

    def step(self, number: int) -> float:
        """Take step `number` (0, 1, …); returns its training loss in nats, over the whole batch."""
        import torch

        budget, ranks = self.budget, self.ranks
        whole = self.task.batch(number, self.seed, budget.batch, self.space.spec.context)
        batch = whole[ranks.rank :: ranks.count].to(ranks.device)
        architectures = sampled_architectures(self.space, self.seed, number, budget.sandwich)
        weight = len(batch) / len(whole) / len(architectures)
        self.supernet.zero_grad()
        total = torch.zeros((), device=ranks.device)
        for architecture in architectures:
            loss = self.task.loss(self.supernet(batch.inputs, architecture), batch.targets) * weight
            loss.backward()
            total += loss.detach()
        # The same architectures everywhere, so that the same weights have a gradient everywhere.
        ranks.sum([p.grad for p in self.supernet.parameters() if p.grad is not None] + [total])
        torch.nn.utils.clip_grad_norm_(self.supernet.parameters(), GRADIENT_NORM)
        self.optimizer.step(budget.learning_rate * learning_rate_factor(number, budget.steps))
        return total.item()

    def tensors(self) -> dict[str, Tensor]:
        """Weights as ``weight/NAME`` and the optimiser's moments as ``KEY/NAME``."""
        weights = {f"weight/{name}": value for name, value in self.supernet.state_dict().items()}
        return weights | self.optimizer.tensors()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        weights: dict[str, Tensor] = {}
        moments: dict[str, Tensor] = {}
        for key, value in tensors.items():
            kind, _, name = key.partition("/")
            moved = value.to(self.ranks.device)
            if kind == "weight":
                weights[name] = moved
            else:
                moments[key] = moved
        self.supernet.load_state_dict(weights)
        self.optimizer.load(moments)


@dataclass
class _Log:
    """What a run remembers besides tensors; the facts of its checkpoints."""

    run: str
    tokens: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @classmethod
    def load(cls, path: Path, run: str) -> tuple[_Log, dict[str, Tensor]]:
        tensors, facts = load_checkpoint(path)
        if facts.get("run") != run:
            raise JobFailed(f"{path} is of another run; delete it to train from the start")
        return cls(**facts), tensors

    def save(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        save_checkpoint(path, tensors, asdict(self))

    def result(self, path: Path) -> TrainingResult:
        return TrainingResult(path, len(self.losses), self.tokens_per_second, tuple(self.losses))


def _run_digest(space: SearchSpace, task: Task, budget: TrainBudget, seed: int) -> str:
    """Identifies everything that the weights follow from."""
    content = {
        "space": space.digest,
        "task": task.digest,
        "budget": budget.identity(),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def train_supernet(
    space: SearchSpace,
    task: Task,
    budget: TrainBudget,
    seed: int,
    folder: Path,
    progress: Callable[[int, int, dict[str, float]], None],
    stop: Callable[[], bool],
    ranks: Ranks | None = None,
) -> TrainingResult:
    """Train, or go on from the checkpoint in `folder`, until the budget's steps are taken.

    Deterministic by seed, on one machine with the same number of torch threads and of ranks: a run that
    was stopped or killed and started again ends with the same bits as one that was not. A checkpoint may
    be gone on from by another number of ranks, which changes no more than the order of sums.

    Args:
        seed: of the initial weights, the batches and the sampled architectures.
        folder: keeps `checkpoint.safetensors` while training and `supernet.safetensors` at the end;
            rank 0 writes it and all ranks read it.
        progress: called on rank 0 about once a second with steps done, steps in all, and ``loss`` (nats,
            mean of the last steps) and ``tokens_per_second``.
        stop: asked before every step; where it answers True on any rank the state is saved and the call
            returns on all.
        ranks: whom this process trains with; None for nobody.

    Raises:
        InvalidSpec: the task's data cannot fill a sequence of the space's context.
        JobFailed: the checkpoint is unreadable or of another run, the ranks do not see the same one, or
            the loss is no finite number.
        StoreUnavailable: the disk cannot take a checkpoint.
    """
    ranks = ranks or Alone()
    final, checkpoint = folder / "supernet.safetensors", folder / "checkpoint.safetensors"
    run = _run_digest(space, task, budget, seed)
    log, tensors = _begin(final if final.is_file() else checkpoint, run)
    if not ranks.agree(len(log.losses)):
        raise JobFailed(f"not every process sees the same files in {folder}: put it where all of them do")
    if final.is_file():
        return log.result(final)
    trainer = Trainer(space, task, budget, seed, ranks)
    if tensors:
        trainer.load(tensors)
    leads = ranks.rank == 0
    saved = reported = time.monotonic()
    while len(log.losses) < budget.steps and not ranks.any(stop()):
        begun = time.monotonic()
        loss = trainer.step(len(log.losses))
        now = time.monotonic()
        if not math.isfinite(loss):
            accepted = f"try a learning_rate below {budget.learning_rate:g}"
            raise JobFailed(f"the training loss is {loss} at step {len(log.losses)}; {accepted}")
        log.losses.append(loss)
        log.tokens += budget.batch * space.spec.context
        log.seconds += now - begun
        if leads and now - reported >= PROGRESS_SECONDS:
            recent = log.losses[-RECENT_STEPS:]
            facts = {"loss": sum(recent) / len(recent), "tokens_per_second": log.tokens_per_second}
            progress(len(log.losses), budget.steps, facts)
            reported = now
        if leads and now - saved >= CHECKPOINT_SECONDS:
            log.save(checkpoint, trainer.tensors())
            saved = now
    if leads and len(log.losses) < budget.steps:
        log.save(checkpoint, trainer.tensors())
    elif leads:
        log.save(final, trainer.supernet.state_dict())
        checkpoint.unlink(missing_ok=True)
    return log.result(final)


def _begin(path: Path, run: str) -> tuple[_Log, dict[str, Tensor]]:
    """What an earlier run left, or nothing."""
    return _Log.load(path, run) if path.is_file() else (_Log(run), {})


def load_supernet(space: SearchSpace, path: Path) -> Supernet:
    """A trained supernet of the space, ready to be evaluated.

    Raises:
        JobFailed: the file is unreadable or holds other weights than the space's.
    """
    from searchspaces.supernet import Supernet

    weights, _ = load_checkpoint(path)
    supernet = Supernet.holding(space, weights)
    try:
        supernet.load_state_dict(_with_own_projections(supernet, weights), assign=True)
    except RuntimeError as error:
        raise JobFailed(f"{path} does not hold a supernet of {space.name}: {error}") from error
    return supernet.requires_grad_(False).eval()


def _with_own_projections(supernet: Supernet, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights as families of mixers have them. Supernets of recipe 1 have one query and one key
    projection a layer: each family's own are these."""
    complete = dict(weights)
    for name in supernet.state_dict():
        layer, _, own = name.rpartition(".")
        shared = f"{layer}.{own.rpartition('_')[2]}"
        if name not in weights and shared in weights and own.endswith(("_query", "_key")):
            complete[name] = weights[shared].clone()
    return complete
