"""Cost of a supernet's training step against a plain model's, and training speed.

    python benchmarks/training.py [--threads 2] [--steps 40]

Both train on the same batches with the same optimiser. The plain model is the largest softmax transformer
of the space, a `Submodel` with nothing elastic about it; the supernet's step is timed on that very
architecture (what elasticity itself costs) and on sampled ones (what training does). Steps of the three
alternate and their processor time is compared, so that other load on the machine weighs on all alike.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import mean, median

import torch
from rich.console import Console
from rich.table import Table

from nas.spec import TrainBudget
from nas.tasks import Task, make_task
from nas.training.optimizer import SupernetOptimizer
from nas.training.trainer import GRADIENT_NORM, Trainer
from searchspaces.architecture import Architecture, Layer
from searchspaces.space import SearchSpace, load_space
from searchspaces.submodel import Submodel
from searchspaces.supernet import Supernet

SPACE = "hybrid-lm"
BATCH = TrainBudget().batch
CONTEXT = 512
WARMUP = 3
GOAL = 1.3


def largest_plain(space: SearchSpace) -> Architecture:
    """The softmax transformer of the space's largest sizes."""
    spec = space.spec
    layer = Layer("softmax", max(spec.layer.heads), spec.layer.channel[0], max(spec.layer.ratio))
    return Architecture(spec.vocabulary, max(spec.width), (layer,) * space.max_depth)


def fixed_step(model: torch.nn.Module, *architecture: Architecture, task: Task) -> Callable[[int], None]:
    """One step of a model that is the same in every step."""
    optimizer = SupernetOptimizer(model)

    def step(number: int) -> None:
        batch = task.batch(number, 0, BATCH, CONTEXT)
        model.zero_grad()
        task.loss(model(batch.inputs, *architecture), batch.targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimizer.step(TrainBudget().learning_rate)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    space, task = load_space(SPACE), make_task("text")
    trainer = Trainer(space, task, TrainBudget(steps=arguments.steps, batch=BATCH), seed=0)
    architecture = largest_plain(space)
    kinds: dict[str, Callable[[int], object]] = {
        "plain model": fixed_step(Submodel(architecture), task=task),
        "supernet, same architecture": fixed_step(Supernet(space), architecture, task=task),
        "supernet, sampled": trainer.step,
    }
    spent: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(arguments.steps):
        for kind, step in kinds.items():
            begun = time.process_time()
            step(number)
            spent[kind].append(time.process_time() - begun)
    table = Table(title=f"{SPACE}: batch {BATCH} x {CONTEXT} tokens, {arguments.threads} threads, CPU time")
    for column in ("", "ms a step", "x plain", "tokens per CPU second"):
        table.add_column(column, justify="left" if not column else "right")
    # Sampled steps differ among themselves, so theirs is a mean; the others repeat one thing.
    seconds = {
        kind: (mean if kind.endswith("sampled") else median)(times[WARMUP:]) for kind, times in spent.items()
    }
    plain = seconds["plain model"]
    for kind, value in seconds.items():
        table.add_row(kind, f"{1e3 * value:.1f}", f"{value / plain:.2f}", f"{BATCH * CONTEXT / value:,.0f}")
    Console().print(table)
    ratio = seconds["supernet, same architecture"] / plain
    print(f"goal: at most {GOAL} x plain; {'met' if ratio <= GOAL else 'MISSED'} at {ratio:.2f}")


if __name__ == "__main__":
    main()
