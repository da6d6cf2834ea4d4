"""Pareto local search (Paquete et al., 2004)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.problem import SearchProblem
from nas.strategies.archive import Archive
from nas.strategies.base import SingleFidelityStrategy
from nas.strategies.strategy import register_strategy
from nas.strategies.variation import Variation
from searchspaces.encoding import Population

__all__ = ["LocalSearchStrategy"]

START = 10


@register_strategy("local")
class LocalSearchStrategy(SingleFidelityStrategy):
    """Proposes neighbours of random members of the front: one gene changed, or one layer moved."""

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        self._variation = Variation(problem.encoding, crossover=0.0, structural=0.3, mutations=1.0)

    def _propose(self, n: int) -> Population:
        population, values = self.history.population, self.history.values
        front = Archive(self.problem)
        front.add(population, self.problem.refreshed(population, values))
        if self.history.taken < START or not len(front):
            return self.problem.encoding.sample(n, self.rng)
        # Many neighbours were proposed before.
        chosen: NDArray[np.int64] = self.rng.integers(0, len(front), 4 * n)
        return self._variation.children(front.population, np.stack([chosen, chosen]), self.rng)
