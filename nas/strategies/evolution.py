"""Multi-objective evolution over whole populations (NSGA-II, Deb et al., 2002, steady state)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nas.problem import SearchProblem, Values
from nas.strategies.base import SingleFidelityStrategy
from nas.strategies.dominance import best_first
from nas.strategies.strategy import register_strategy
from nas.strategies.variation import Variation, mates
from searchspaces.encoding import Population

__all__ = ["EvolutionStrategy"]

SMALLEST = 20


@register_strategy("evolution")
class EvolutionStrategy(SingleFidelityStrategy):
    """Elitist evolution by constraint domination and crowding, with `Variation` for children.

    Parents are the best candidates told so far; any number may be asked at a time, before or after
    earlier ones were told.

    Args:
        population: how many parents survive. By default it grows as the square root of the candidates told,
            from 20: few evaluations want a small, eager population, many a wide one.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0, population: int | None = None) -> None:
        super().__init__(problem, seed)
        self._fixed = population
        self._variation = Variation(problem.encoding)
        self._parents = np.empty(0, np.int64)

    @property
    def population_size(self) -> int:
        """Parents that survive now."""
        return self._fixed or max(SMALLEST, math.isqrt(len(self.history)))

    def parents_values(self) -> Values:
        """(parents, objectives) what was told of the present parents, the best first."""
        return self.history.values_at(self._parents)

    def _propose(self, n: int) -> Population:
        if self.history.taken < self.population_size or not len(self._parents):
            return self.problem.encoding.sample(n, self.rng)
        if self.problem.known is not None:
            self._survive(self._parents)  # their known values may have changed
        parents = self.history.rows(self._parents)
        # A third more than asked makes up for children that are there already.
        pairs = mates(self.history.values_at(self._parents), n + n // 3 + 1, self.rng)
        return self._variation.children(parents, pairs, self.rng)

    def _learn(self, positions: NDArray[np.int64]) -> None:
        parents = self._parents[~np.isin(self._parents, positions)]
        self._survive(np.concatenate([parents, positions]))

    def _survive(self, positions: NDArray[np.int64]) -> None:
        """Keep the best of the candidates at these positions of the history as parents, best first."""
        values = self.history.values_at(positions)
        if self.problem.known is not None:
            values = self.problem.refreshed(self.history.rows(positions), values)
        smaller = self.problem.minimised(values)
        order = best_first(smaller, self.problem.violation(smaller), self.population_size)
        self._parents = positions[order]

    def state(self) -> dict[str, Any]:
        """See `Strategy.state`."""
        return super().state() | {"parents": self._parents.tolist()}

    def restore(self, state: dict[str, Any], journal: Iterable[Mapping[str, Any]]) -> Self:
        """See `Strategy.restore`."""
        self._parents = np.array(state["parents"], np.int64)
        return super().restore(state, journal)
