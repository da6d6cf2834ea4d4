"""Does a supernet rank as training alone does? Architectures trained alone against one supernet's scores.

    python benchmarks/ranking.py --space hybrid-lm --task text --steps 1200 --seeds 2 --processes 16

Presets and random architectures of a space are trained alone to one end, in processes of one thread. Then a
supernet is trained for each recipe and seed and scores all of them, and each goes on from it for a few steps.
Told is Kendall's tau, over all and over the better half, of the supernet's score, of the score after those
steps and of counts that cost nothing; and of the truth itself with another seed, which bounds them all.
Answers are kept in a folder as they come: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from searchspaces.architecture import Architecture
from searchspaces.costs import CostModel
from searchspaces.presets import presets
from searchspaces.space import SearchSpace, load_space

RECIPES = {"as it ships": 0.5, "sizes drawn evenly": 0.0, "largest in three quarters": 0.75}
"""The share of steps in which all sizes are the largest."""


@dataclass(frozen=True)
class Work:
    """One training, in a process of its own: alone, of a supernet, or on from one."""

    kind: str
    digest: str
    recipe: str
    seed: int

    @property
    def key(self) -> str:
        return json.dumps([self.kind, self.digest, self.recipe, self.seed])


def chosen(space: SearchSpace, count: int) -> list[Architecture]:
    """Half of them presets, spread over their sizes; half random ones."""
    published = list({p.architecture.digest: p.architecture for p in presets(space).values()}.values())
    costs = CostModel(space)
    order = np.argsort(costs.parameters(space.encode(published)), kind="stable")
    spread = order[np.linspace(0, len(order) - 1, min(count // 2, len(order))).round().astype(int)]
    drawn = space.decode(space.sample(4 * count, np.random.default_rng(0)))
    both = {a.digest: a for a in [*(published[i] for i in spread), *drawn]}
    return list(both.values())[:count]


def run(work: Work, options: argparse.Namespace) -> tuple[str, Any]:
    import torch

    from nas.evaluation import Split
    from nas.spec import FinalistBudget, TrainBudget
    from nas.tasks import make_task
    from nas.training import load_supernet, schedule, train_supernet
    from nas.training.finetune import FineTuning, best_weights, finetune
    from searchspaces.submodel import Submodel

    torch.set_num_threads(1)
    space = load_space(options.space)
    task = make_task(options.task, json.loads(options.options))
    context = space.spec.context
    architectures = {a.digest: a for a in chosen(space, options.architectures)}
    home = (
        Path(options.out) / f"supernet-{list(RECIPES).index(work.recipe)}-{work.seed}"
        if work.recipe
        else None
    )
    if work.kind == "supernet":
        schedule.LARGEST_FRACTION = RECIPES[work.recipe]
        budget = TrainBudget(steps=options.steps, batch=1)
        result = train_supernet(space, task, budget, work.seed, home, lambda *_: None, lambda: False)
        net = load_supernet(space, result.path)
        return work.key, {
            digest: task.evaluate_sequences(lambda tokens, a=a: net(tokens, a), Split.VALIDATION)[0]
            for digest, a in architectures.items()
        }
    alone = work.kind == "alone"
    if alone:
        torch.manual_seed(work.seed)
        model, first = Submodel(architectures[work.digest]), 0
        budget = FinalistBudget(start="scratch", steps=options.steps, batch=1, learning_rate=0.03)
    else:
        net = load_supernet(space, home / "supernet.safetensors")
        model, first = net.extract(architectures[work.digest]).requires_grad_(True), options.steps
        budget = FinalistBudget(steps=options.fine_tune, batch=1, learning_rate=0.01)
    with tempfile.TemporaryDirectory() as folder:
        training = FineTuning(task, budget, first, context, work.seed, Path(folder))
        finetune(model, training, budget.steps, lambda *_: None, lambda _: None, lambda: False)
        best = best_weights(Path(folder))
    return work.key, best.validation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", default="hybrid-lm")
    parser.add_argument("--task", default="text")
    parser.add_argument("--options", default="{}", help="of the task, as JSON")
    parser.add_argument("--architectures", type=int, default=16)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--fine-tune", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES)[:2])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", default="ranking", help="folder of answers; where it has some, goes on")
    options = parser.parse_args()
    space = load_space(options.space)
    architectures = chosen(space, options.architectures)
    seeds = range(options.seeds)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "answers.jsonl"
    known = dict(map(json.loads, kept.read_text().splitlines())) if kept.is_file() else {}
    nets = [Work("supernet", "", recipe, seed) for recipe in options.recipes for seed in seeds]
    alone = [Work("alone", a.digest, "", seed) for seed in seeds for a in architectures]
    on = [Work("on", a.digest, net.recipe, net.seed) for net in nets for a in architectures]
    with multiprocessing.get_context("spawn").Pool(options.processes, maxtasksperchild=4) as pool:
        # Supernets first: what goes on from them waits for them.
        for works in (nets + alone, on if options.fine_tune else []):
            waiting = [(work, options) for work in works if work.key not in known]
            for number, (key, answer) in enumerate(pool.imap_unordered(_run, waiting), 1):
                known[key] = answer
                with kept.open("a") as file:
                    file.write(json.dumps([key, answer]) + "\n")
                print(f"{number}/{len(waiting)} {key}", flush=True)
    report(options, space, architectures, known)


def _run(asked: tuple[Work, argparse.Namespace]) -> tuple[str, Any]:
    return run(*asked)


def report(
    options: argparse.Namespace, space: SearchSpace, architectures: list[Architecture], known: dict[str, Any]
) -> None:
    from nas.tasks import get_task

    sign = get_task(options.task).direction.sign
    seeds = range(options.seeds)
    scores = np.array(
        [[sign * known[Work("alone", a.digest, "", s).key] for s in seeds] for a in architectures]
    )
    truth = scores.mean(1)
    better = np.argsort(truth)[: len(truth) // 2]
    noise = np.sqrt(scores.var(1, ddof=1).mean()) if options.seeds > 1 else np.nan
    spread = f"{truth.min():.3f} to {truth.max():.3f}, better half to {truth[better].max():.3f}"
    print(f"{len(truth)} architectures alone: {spread}; deviation of seeds {noise:.4f}")

    def tell(name: str, values: np.ndarray, truth: np.ndarray = truth) -> None:
        tau, upper = kendalltau(values, truth)[0], kendalltau(values[better], truth[better])[0]
        rho = spearmanr(values, truth)[0]
        print(f"{name:45s} tau {tau:5.2f}  better half {upper:5.2f}  Spearman {rho:5.2f}")

    if options.seeds > 1:
        tell("one seed alone against another", scores[:, 0], scores[:, 1])
    population, costs = space.encode(architectures), CostModel(space)
    tell("more parameters", -costs.parameters(population))
    tell("more MACs", -costs.macs(population, space.spec.context))
    tell("more layers", -np.array([a.depth for a in architectures]))
    for recipe in options.recipes:
        for seed in seeds:
            net = known[Work("supernet", "", recipe, seed).key]
            tell(f"supernet {recipe}, seed {seed}", np.array([sign * net[a.digest] for a in architectures]))
            if options.fine_tune:
                on = [sign * known[Work("on", a.digest, recipe, seed).key] for a in architectures]
                tell(f"  and {options.fine_tune} steps on", np.array(on))


if __name__ == "__main__":
    main()
