"""What looking at a share of the validation split is worth on a real supernet (`docs/results-search.md`).

python benchmarks/fidelities.py SUPERNET.safetensors [--space hybrid-lm] [--budget 48] [--seeds 3]

First how a share agrees with the whole split, on random architectures and on the better half of them;
then the default strategy with whole evaluations and with quarters, for the same cost: hypervolume of
quality against MACs, of what was evaluated in full.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import moocore
import numpy as np
import torch
from safetensors.torch import load_file
from scipy.stats import spearmanr

from nas.evaluation import Split
from nas.objectives import Objective, Source
from nas.problem import SearchProblem
from nas.strategies import get_strategy
from nas.tasks import make_task
from searchspaces.costs import CostModel
from searchspaces.encoding import Population
from searchspaces.space import load_space
from searchspaces.supernet import Supernet

TOKENS = 1024
BATCH = 4


class Scored:
    """A supernet and its task, each architecture scored on each share once."""

    def __init__(self, space: str, weights: Path) -> None:
        self.space, self.task = load_space(space), make_task("text")
        self.supernet = Supernet(self.space)
        self.supernet.load_state_dict(load_file(weights))
        self.supernet.requires_grad_(False).eval()
        self.costs = CostModel(self.space)
        self._score = cache(self._score_once)

    def _score_once(self, row: tuple[int, ...], share: float) -> float:
        (architecture,) = self.space.decode(np.array([row]))
        return self.task.evaluate(lambda tokens: self.supernet(tokens, architecture), Split.VALIDATION, share)

    def quality(self, population: Population, shares: np.ndarray) -> np.ndarray:
        """(n,) the task's metric."""
        rows = zip(map(tuple, population.tolist()), shares.tolist(), strict=True)
        return np.array([self._score(row, share) for row, share in rows])

    def macs(self, population: Population) -> np.ndarray:
        """(n, 1) millions."""
        return self.costs.macs(population, TOKENS)[:, None] / 1e6


def agreement(scored: Scored) -> None:
    """Of shares with the whole split."""
    rows = scored.space.sample(24, np.random.default_rng(0))
    whole = scored.quality(rows, np.ones(len(rows)))
    for name, kept in (("random", np.full(len(rows), True)), ("better half", whole < np.median(whole))):
        for share in (0.125, 0.25, 0.5):
            part = scored.quality(rows[kept], np.full(kept.sum(), share))
            slope, offset = np.polyfit(part, whole[kept], 1)
            left = (whole[kept] - slope * part - offset).std()
            rank = spearmanr(part, whole[kept]).statistic
            spread = whole[kept].std()
            line = f"Spearman {rank:.3f}, slope {slope:.2f}, {left:.4f} left of {spread:.4f}"
            print(f"{name:12s} {share:5g}: {line}", flush=True)


def spend(scored: Scored, fidelities: tuple[float, ...], budget: float, seed: int) -> tuple[np.ndarray, int]:
    """(k, 2) values of the whole evaluations that the default made, and how many it made in all."""
    objectives = (
        Objective("quality", scored.task.metric, source=Source.EVALUATED),
        Objective("macs", "1e6", source=Source.COUNTED),
    )
    problem = SearchProblem(scored.space, objectives, scored.macs, fidelities=fidelities)
    strategy, left, made, found = get_strategy("default")(problem, seed), budget, 0, []
    while len(rows := strategy.ask(BATCH, left)):
        levels = strategy.levels(rows)
        shares = np.array(fidelities)[levels]
        values = np.column_stack([scored.quality(rows, shares), scored.macs(rows)])
        strategy.tell(rows, values, levels)
        found.append(values[shares == 1.0])
        left -= float(shares.sum())
        made += len(rows)
    return np.concatenate(found), made


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("supernet", type=Path)
    parser.add_argument("--space", default="hybrid-lm")
    parser.add_argument("--budget", type=float, default=48)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scored = Scored(arguments.space, arguments.supernet)
    agreement(scored)
    runs = {}
    for seed in range(arguments.seeds):
        for fidelities in ((1.0,), (0.25, 1.0)):
            runs[seed, fidelities] = spend(scored, fidelities, arguments.budget, seed)
    # One box for all: from the best of all runs to the worst of all their fronts.
    front = moocore.filter_dominated(np.concatenate([values for values, _ in runs.values()]))
    ideal, worst = front.min(0), front.max(0)
    for (seed, fidelities), (values, made) in runs.items():
        volume = moocore.hypervolume(values, ref=worst) / float(np.prod(worst - ideal))
        print(f"seed {seed}, fidelities {fidelities}: {made} evaluations, {len(values)} whole, {volume:.4f}")


if __name__ == "__main__":
    main()
