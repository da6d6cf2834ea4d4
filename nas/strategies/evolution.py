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
    """Elitist evolution by constraint domination and crowding, with children by `Variation`.

    Parents are the best candidates told so far; any number of children may be asked at a time, before or
    after earlier ones were told.

    Args:
        population: number of parents. By default the square root of the number of evaluations told, at least
            20: few evaluations call for a small, greedy population, many for a large, diverse one.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0, population: int | None = None) -> None:
        super().__init__(problem, seed)
        self._fixed = population
        self._variation = Variation(problem.encoding)
        self._parents = np.empty(0, np.int64)

    @property
    def population_size(self) -> int:
        """Number of parents at present."""
        return self._fixed or max(SMALLEST, math.isqrt(len(self.history)))

    def parents_values(self) -> Values:
        """(parents, objectives) values told of the present parents, best first."""
        return self.history.values_at(self._parents)

    def _propose(self, n: int) -> Population:
        if self.history.taken < self.population_size or not len(self._parents):
            return self.problem.encoding.sample(n, self.rng)
        if self.problem.known is not None:
            self._survive(self._parents)  # their known values may have changed
        parents = self.history.rows(self._parents)
        # A third more than asked makes up for children that exist already.
        pairs = mates(self.history.values_at(self._parents), n + n // 3 + 1, self.rng)
        return self._variation.children(parents, pairs, self.rng)

    def _learn(self, positions: NDArray[np.int64]) -> None:
        parents = self._parents[~np.isin(self._parents, positions)]
        self._survive(np.concatenate([parents, positions]))

    def _survive(self, positions: NDArray[np.int64]) -> None:
        """Keep the best candidates at these positions of the history as parents, best first."""
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
