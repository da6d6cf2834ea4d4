"""Exact optimisation of an additive model of the objectives, refitted as evaluations arrive."""

from __future__ import annotations

import numpy as np

from nas.exact.decomposition import Decomposition
from nas.problem import SearchProblem
from nas.strategies.base import SingleFidelityStrategy
from nas.strategies.strategy import register_strategy
from nas.strategies.variation import Variation
from nas.surrogates.additive import AdditiveSurrogate
from searchspaces.encoding import Encoding, Population

__all__ = ["ExactStrategy"]

START = 20
WORK = 50_000
"""Work for one candidate, see `minimise`: limiting time instead would make results depend on the machine."""


@register_strategy("exact")
class ExactStrategy(SingleFidelityStrategy):
    """Proved optima of additive models over random bounds (ε-constraint method, Haimes et al., 1971).

    Each candidate minimises the model of one random objective; the others are bounded by random values within
    their observed ranges and by the problem's own bounds. Neighbours of the optima fill up a batch.

    Raises:
        ValueError: the space has too many settings of global genes, or options of a layer, to enumerate.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        self._variation = Variation(problem.encoding, crossover=0.0)
        self._decomposition = Decomposition(problem.encoding)

    @classmethod
    def check(cls, encoding: Encoding) -> None:
        """See `Strategy.check`."""
        try:
            Decomposition(encoding)
        except ValueError as error:
            raise ValueError(f"strategy 'exact' enumerates, and this space has {error}") from error

    def _propose(self, n: int) -> Population:
        population, values = self.history.population, self.history.values
        usable = np.isfinite(values).all(1)
        if self.history.taken < START or usable.sum() < 2:
            return self.problem.encoding.sample(n, self.rng)
        surrogate = AdditiveSurrogate(self.problem, self._decomposition, population, values, self.seed)
        smaller = self.problem.minimised(self.problem.refreshed(population[usable], values[usable]))
        least, most = smaller.min(0), smaller.max(0)
        optima = []
        for _ in range(n):
            objective = int(self.rng.integers(len(least)))
            bounds = least + (most - least) * self.rng.random(len(least))
            bounds[objective] = np.inf
            found = surrogate.model.optimum(objective, np.minimum(bounds, self.problem.bounds), WORK)
            if found is not None:
                optima.append(found.row)
        if not optima:
            return self._empty()
        rows = np.unique(optima, axis=0)
        near = np.repeat(rows, -(-2 * n // len(rows)), axis=0)
        each = np.arange(len(near))
        return np.concatenate([rows, self._variation.children(near, np.stack([each, each]), self.rng)])
