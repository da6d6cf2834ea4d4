"""The default: few expensive evaluations, each chosen by its expected hypervolume improvement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import moocore
import numpy as np
from numpy.typing import NDArray

from nas.problem import Levels, SearchProblem, Values
from nas.strategies.base import HistoryStrategy
from nas.strategies.dominance import best_first
from nas.strategies.history import Indices
from nas.strategies.plain import pack, unpack
from nas.strategies.strategy import register_strategy
from nas.strategies.variation import Variation, mates
from nas.surrogates.acquisition import BatchSelection
from nas.surrogates.surrogate import Surrogate
from searchspaces.encoding import Population

__all__ = ["SurrogateStrategy"]

ENUMERABLE = 20_000
"""Spaces of at most this many codes are scored whole instead of searched."""
DRAWS = 50
"""Random draws for each candidate of the start."""
LARGEST = 600
"""Evaluations that the surrogate learns from, the best ones: its cost grows with their cube."""
WAITING = 64
"""Pending candidates that selection takes into account, the latest ones."""


@register_strategy("default")
class SurrogateStrategy(HistoryStrategy):
    """Bayesian optimisation of the front, where only some objectives are expensive.

    An inner evolution on what the surrogate believes, optimistically, gives a pool of candidates. From it a
    batch is picked by expected hypervolume improvement (`nas.surrogates.acquisition`).

    Where evaluations may be cheaper than whole ones, the next one is that which is expected to improve most,
    for what it costs, on the front that is believed in: of a new candidate or of one evaluated before, at any
    higher fidelity. In the end, what is left is spent on whole evaluations of that front's members.

    Args:
        initial: candidates evaluated before the surrogate speaks.
        pool: candidates that the inner search keeps.
        generations: of the inner search, each of `pool` candidates.
        optimism: standard deviations by which the inner search takes expensive objectives to be better than
            their means, so that the pool holds what is uncertain too.
    """

    fidelities = True

    def __init__(
        self,
        problem: SearchProblem,
        seed: int = 0,
        initial: int = 16,
        pool: int = 200,
        generations: int = 60,
        optimism: float = 1.5,
    ) -> None:
        super().__init__(problem, seed)
        self._initial, self._size, self._generations = initial, pool, generations
        self._optimism = optimism
        self._variation = Variation(problem.encoding)
        self._surrogate = Surrogate(problem)
        self._taught = 0
        self._pool = self._empty()

    def _offer(self, n: int, left: float) -> tuple[Population, Levels]:
        positions, levels = self._usable()
        if self.history.taken < self._initial or len(positions) < min(self._initial, 4):
            return self._start(n)
        population = self.history.rows(positions)
        values = self.history.values_at(positions, levels)
        values = self.problem.minimised(self.problem.refreshed(population, values))
        best = best_first(values, self.problem.violation(values), LARGEST)
        self._learn_from(positions[best])
        self._pool = self._search(population[best[: self._size]])
        whole = levels == self.history.full
        screened = best[self.history.asked(population[best]) == levels[best]]
        screened = screened[~whole[screened]][: self._size]
        return self._pick(positions[screened], levels[screened], values[whole], n, left)

    def _usable(self) -> tuple[Indices, Levels]:
        """Indices of candidates whose evaluation of highest fidelity gave finite values, and its level."""
        positions, levels = self.history.highest
        usable = np.isfinite(self.history.values_at(positions, levels)).all(1)
        return positions[usable], levels[usable]

    def _learn_from(self, candidates: Indices) -> None:
        """Fit the surrogate to all that was told of these candidates."""
        positions, levels = self.history.heard
        values = self.history.values_at(positions, levels)
        taught = np.isin(positions, candidates) & np.isfinite(values).all(1)
        positions, levels, values = positions[taught], levels[taught], values[taught]
        population = self.history.rows(positions)
        # The parameters are learned again once there is a quarter more to learn from.
        learn = len(self.history) >= 1.25 * self._taught
        values = self.problem.refreshed(population, values)
        self._surrogate.fit(population, values, learn, positions, levels)
        self._taught = len(self.history) if learn else self._taught

    def _start(self, n: int) -> tuple[Population, Levels]:
        """Random candidates, of which those that meet the free objectives' bounds come first; every fourth is
        evaluated in full, the others as cheaply as can be."""
        rows = self.problem.encoding.sample(n if not self.problem.free else DRAWS * n, self.rng)
        values = self.problem.refreshed(rows, np.zeros((len(rows), len(self.problem.objectives))))
        violation = self.problem.violation(self.problem.minimised(values), self.problem.free)
        whole = (self.history.taken + np.arange(len(rows))) % 4 == 0
        return rows[np.argsort(violation, kind="stable")], np.where(whole, self.history.full, 0)

    def _search(self, elite: Population) -> Population:
        """(pool, genes) the inner evolution's survivors, best first by what is believed."""
        everything = self.problem.encoding.enumerate(ENUMERABLE)
        if everything is not None:
            return self._survivors(self.history.fresh(everything))[0]
        start = [elite, self._pool, self.problem.encoding.sample(self._size, self.rng)]
        parents, believed = self._survivors(np.concatenate(start))
        for _ in range(self._generations):
            pairs = mates(believed, self._size, self.rng)
            children = self._variation.children(parents, pairs, self.rng)
            parents, believed = self._survivors(np.concatenate([parents, children]), believed)
        return parents

    def _survivors(self, population: Population, believed: Values | None = None) -> tuple[Population, Values]:
        """The best of distinct candidates with what is believed of them, which may be given of the first."""
        told = 0 if believed is None else len(believed)
        _, first = np.unique(self.problem.encoding.keys(population), return_index=True)
        kept, new = first[first < told], first[first >= told]
        values = self._surrogate.predict(population[new], self._optimism)
        if believed is not None:
            values = np.concatenate([believed[kept], values])
        rows = population[np.concatenate([kept, new])]
        order = best_first(values, self.problem.violation(values), self._size)
        return rows[order], values[order]

    def _pick(
        self, screened: Indices, levels: Levels, told: Values, n: int, left: float
    ) -> tuple[Population, Levels]:
        """(≤ n, genes) candidates of the pool, or of those screened at these levels, and at which to evaluate
        them.

        Args:
            told: (k, objectives) minimised values of whole evaluations.
        """
        fresh = self.history.fresh(self._pool)
        pool = np.concatenate([fresh, self.history.rows(screened)])
        levels = np.concatenate([np.full(len(fresh), -1), levels])
        free = self.problem.violation(self._surrogate.predict(pool, 0.0), self.problem.free)
        if not (free == 0).any():
            # Only what is evaluated in full is ever reported; a glance would tell nothing of the bounds.
            order = np.argsort(free, kind="stable")[:n]
            return pool[order], np.full(len(order), self.history.full)
        pool, levels = pool[free == 0], levels[free == 0]
        waiting = self.history.pending[-WAITING:]
        rows = np.concatenate([waiting, pool])
        mean, posteriors = self._surrogate.posterior(rows, self._observed(rows))
        costs = np.array(self.problem.fidelities)
        selection = BatchSelection(
            rows, self.history.asked(waiting), levels, mean, posteriors, self.problem.expensive, costs
        )
        believed = np.concatenate([told, mean[len(waiting) :][levels >= 0]])
        if self._is_over_soon(believed, len(told), n, left):
            return selection.select(n, *self._attained(told, mean), least=self.history.full)
        return selection.select(n, *self._attained(believed, mean))

    def _observed(self, rows: Population) -> Indices:
        """Indices of the rows of which something was told, -1 of the others."""
        positions = self.history.find(rows)
        return np.where(np.isin(positions, self.history.highest[0]), positions, -1)

    def _is_over_soon(self, believed: Values, whole: int, n: int, left: float) -> bool:
        """Whether what is left will be needed to evaluate in full what is believed to be on the front."""
        feasible = self.problem.violation(believed) == 0
        on_front = np.zeros(len(believed), bool)
        if feasible.any():
            on_front[feasible] = moocore.is_nondominated(believed[feasible])
        return left - n * self.problem.fidelities[0] < on_front[whole:].sum()

    def _attained(self, told: Values, believed: Values) -> tuple[Values, NDArray[np.float64]]:
        """The feasible front so far (k, m), and the reference: the problem's, or a tenth beyond the worst of
        the front and of what is believed attainable; never beyond a bound."""
        feasible = told[self.problem.violation(told) == 0]
        front = moocore.filter_dominated(feasible) if len(feasible) else feasible
        if self.problem.reference is not None:
            reference = self.problem.minimised(np.array(self.problem.reference, float))
        else:
            finite = believed[np.isfinite(believed).all(1)]
            both = moocore.filter_dominated(np.concatenate([front, finite]))
            reference = both.max(0) + 0.1 * np.ptp(both, axis=0) + 1e-9
        return front, np.minimum(reference, self.problem.bounds)

    def state(self) -> dict[str, Any]:
        """See `Strategy.state`."""
        return super().state() | {
            "pool": pack(self._pool),
            "surrogate": self._surrogate.state(),
            "taught": self._taught,
        }

    def restore(self, state: dict[str, Any], journal: Iterable[Mapping[str, Any]]) -> Self:
        """See `Strategy.restore`."""
        self._pool, self._taught = unpack(state["pool"]), state["taught"]
        self._surrogate.restore(state["surrogate"])
        return super().restore(state, journal)
