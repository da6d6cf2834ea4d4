"""Where a few layers of softmax stand best among layers of another mixer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from nas.bench.mixers.alone import Training
from nas.evaluation import Split
from nas.spec import TrainBudget
from searchspaces.architecture import Architecture
from searchspaces.space import SearchSpace

__all__ = ["Placement", "placements"]

Placement = tuple[int, ...]
"""Layers of softmax."""

SCORED = 0.25
"""Share of the validation split that tells placements apart."""


def placements(
    training: Training,
    space: SearchSpace,
    softmax_layers: int,
    placed: Callable[[Placement], Architecture],
    seed: int,
) -> dict[str, Placement]:
    """Evenly, at random, and where a supernet of all placements says.

    Args:
        training: of a model; the supernet's is as long.
        space: of the supernet: one depth, and the two mixers.
        placed: the model with softmax in these layers.
    """
    depth, k = space.max_depth, softmax_layers
    every = list(combinations(range(depth), k))
    even = tuple(math.ceil((i + 1) * depth / k) - 1 for i in range(k))
    rng = np.random.default_rng((7, seed))
    return {
        "even": even,
        "random": every[rng.integers(len(every))],
        "learned": _learned(training, space, every, placed, seed),
    }


def _learned(
    training: Training,
    space: SearchSpace,
    every: Sequence[Placement],
    placed: Callable[[Placement], Architecture],
    seed: int,
) -> Placement:
    import torch

    from nas.training import load_supernet, train_supernet

    torch.set_num_threads(1)
    task = training.make_task()
    budget = TrainBudget(steps=training.steps, batch=training.batch)
    with TemporaryDirectory() as folder:
        result = train_supernet(space, task, budget, seed, Path(folder), lambda *_: None, lambda: False)
        supernet = load_supernet(space, result.path)

    def loss(at: Placement) -> float:
        model = placed(at)
        value = task.evaluate(lambda tokens: supernet(tokens, model), Split.VALIDATION, share=SCORED)
        return task.direction.sign * value

    return min(every, key=loss)
