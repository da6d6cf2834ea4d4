"""Which way of training a supernet ranks best, and misleads least, at equal processor time?

    python benchmarks/recipes.py --space hybrid-lm --task text --steps 1200 --seeds 2

Presets and random architectures are trained alone to one end. Then a supernet is trained by each recipe for
as much processor time as the plain one takes for its steps, and scores all of them. Told is Kendall's tau
with training alone over all and over the better half, how far apart the better half's scores lie, and how
much worse the largest model is in the supernet than alone. Answers are kept in a folder as they come: a run
that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

from nas.evaluation import Split
from nas.spec import FinalistBudget, TrainBudget
from nas.tasks import Task, make_task
from nas.training import schedule
from nas.training.finetune import FineTuning, best_weights, finetune
from nas.training.trainer import Trainer
from searchspaces.architecture import Architecture
from searchspaces.costs import CostModel
from searchspaces.presets import presets
from searchspaces.space import SearchSpace, load_space
from searchspaces.submodel import Submodel


@dataclass(frozen=True)
class Recipe:
    """How a supernet is trained.

    Attributes:
        largest: share of the steps in which all sizes are the largest; it may change with progress (0 to 1).
        sandwich: the largest, the smallest and random ones in every step.
        average: the decay of a running average of the weights, which is what is scored; None for none.
    """

    largest: Callable[[float], float] = lambda progress: 0.5
    sandwich: bool = False
    average: float | None = None


RECIPES = {
    "plain: the largest in half of the steps": Recipe(),
    "sizes drawn evenly": Recipe(lambda progress: 0.0),
    "the largest in three quarters": Recipe(lambda progress: 0.75),
    "the largest first, then evenly": Recipe(lambda progress: 1.0 if progress < 0.5 else 0.0),
    "the largest ever less": Recipe(lambda progress: 1.0 - progress),
    "sandwich": Recipe(sandwich=True),
    "averaged weights, 0.98": Recipe(average=0.98),
    "averaged weights, 0.995": Recipe(average=0.995),
}


def supernet(
    space: SearchSpace,
    task: Task,
    recipe: Recipe,
    options: argparse.Namespace,
    seed: int,
    seconds: float | None,
) -> tuple[dict[str, float], float, int]:
    """Scores by digest, processor seconds, and steps: the options', or as many as so much time pays for.

    The schedule of learning rates needs the number of steps: ten of them tell what one takes.
    """
    steps = options.steps
    if seconds is not None:
        steps = max(10, round(seconds / _seconds_a_step(space, task, recipe, options, seed)))
    budget = TrainBudget(steps=steps, batch=options.batch, sandwich=recipe.sandwich)
    trainer = Trainer(space, task, budget, seed)
    averaged = {name: value.clone() for name, value in trainer.supernet.state_dict().items()}
    begun = time.process_time()
    for number in range(steps):
        schedule.LARGEST_FRACTION = recipe.largest(number / steps)
        trainer.step(number)
        if recipe.average is not None:
            # Early on the average is over what there is, rather than over the initial weights.
            decay = min(recipe.average, (1 + number) / (10 + number))
            for name, value in trainer.supernet.state_dict().items():
                averaged[name].lerp_(value, 1 - decay)
    spent = time.process_time() - begun
    if recipe.average is not None:
        trainer.supernet.load_state_dict(averaged)
    net = trainer.supernet.requires_grad_(False).eval()
    scores = {
        a.digest: task.evaluate(lambda tokens, a=a: net(tokens, a), Split.VALIDATION)
        for a in chosen(space, options.architectures)
    }
    return scores, spent, steps


def _seconds_a_step(
    space: SearchSpace, task: Task, recipe: Recipe, options: argparse.Namespace, seed: int
) -> float:
    budget = TrainBudget(steps=options.steps, batch=options.batch, sandwich=recipe.sandwich)
    trainer, numbers = Trainer(space, task, budget, seed), np.linspace(0, options.steps - 1, 32).astype(int)
    begun = time.process_time()
    for number in numbers.tolist():
        schedule.LARGEST_FRACTION = recipe.largest(number / options.steps)
        trainer.step(number)
    return (time.process_time() - begun) / len(numbers)


def chosen(space: SearchSpace, count: int) -> list[Architecture]:
    """Half of them presets, spread over their sizes, the largest among them; half random ones."""
    published = list({p.architecture.digest: p.architecture for p in presets(space).values()}.values())
    order = np.argsort(CostModel(space).parameters(space.encode(published)), kind="stable")
    spread = order[np.linspace(0, len(order) - 1, min(count // 2, len(order))).round().astype(int)]
    drawn = space.decode(space.sample(4 * count, np.random.default_rng(0)))
    both = {a.digest: a for a in [*(published[i] for i in spread), *drawn]}
    return list(both.values())[:count]


def alone(
    space: SearchSpace, task: Task, architecture: Architecture, options: argparse.Namespace, seed: int
) -> float:
    """The validation score of an architecture's own weights, trained from scratch."""
    torch.manual_seed(seed)
    budget = FinalistBudget(start="scratch", steps=options.alone, batch=options.batch, learning_rate=0.03)
    with TemporaryDirectory() as folder:
        training = FineTuning(task, budget, 0, space.spec.context, seed, Path(folder))
        finetune(
            Submodel(architecture), training, budget.steps, lambda *_: None, lambda _: None, lambda: False
        )
        best = best_weights(Path(folder))
    assert best is not None
    return best.validation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", default="hybrid-lm")
    parser.add_argument("--task", default="text")
    parser.add_argument("--options", default="{}", help="of the task, as JSON")
    parser.add_argument("--architectures", type=int, default=16)
    parser.add_argument("--steps", type=int, default=1200, help="of the plain supernet")
    parser.add_argument("--alone", type=int, default=1200, help="steps of each training alone")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", default="recipes", help="folder of answers; where it has some, goes on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    space, task = load_space(options.space), make_task(options.task, json.loads(options.options))
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "answers.jsonl"
    known = dict(map(json.loads, kept.read_text().splitlines())) if kept.is_file() else {}

    def ask(key: str, answer: Callable[[], Any]) -> Any:
        if key not in known:
            known[key] = answer()
            with kept.open("a") as file:
                file.write(json.dumps([key, known[key]]) + "\n")
        return known[key]

    architectures = chosen(space, options.architectures)
    truth = np.mean(
        [
            [
                ask(f"alone {a.digest} {seed}", lambda a=a, s=seed: alone(space, task, a, options, s))
                for a in architectures
            ]
            for seed in range(options.seeds)
        ],
        axis=0,
    )
    minimised = task.direction.sign * truth
    upper = np.argsort(minimised)[: (len(truth) + 1) // 2]
    largest = int(np.argmax(CostModel(space).parameters(space.encode(architectures))))
    print(f"{len(truth)} alone span {np.ptp(truth):.3f}, the better half {np.ptp(truth[upper]):.3f}")
    for name, recipe in RECIPES.items():
        told = []
        for seed in range(options.seeds):
            plain = ask(
                f"{next(iter(RECIPES))} {seed}",
                lambda s=seed: supernet(space, task, Recipe(), options, s, None),
            )
            scores, spent, steps = ask(
                f"{name} {seed}", lambda r=recipe, s=seed, p=plain: supernet(space, task, r, options, s, p[1])
            )
            found = task.direction.sign * np.array([scores[a.digest] for a in architectures])
            gap = (found[largest] - minimised[largest]) / abs(truth[largest])
            tau, half = kendalltau(found, minimised)[0], kendalltau(found[upper], minimised[upper])[0]
            told.append((tau, half, np.ptp(found[upper]), gap, steps, spent))
        means = np.array(told).mean(0)
        each = ", ".join(f"{tau:.2f}/{half:.2f}" for tau, half, *_ in told)
        print(
            f"{name:40s} tau {means[0]:5.2f} better half {means[1]:5.2f} ({each}), spread {means[2]:.3f}, "
            f"largest {100 * means[3]:.0f}% worse, {means[4]:.0f} steps, {means[5]:.0f} s"
        )


if __name__ == "__main__":
    main()
