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
"""Spaces of at most this many codes are enumerated instead of searched."""
DRAWS = 50
"""Random draws for each initial candidate."""
LEAST = 4
"""Finite evaluations that a surrogate is fitted to, at least."""
LARGEST = 600
"""Evaluations that the surrogate learns from, the best ones: fitting takes time cubic in their number."""
FAILURES = 4
"""Evaluations at a cheaper fidelity that may fail before it is given up, where none succeeds."""
WAITING = 64
"""Pending candidates that selection takes into account, the latest ones."""


@register_strategy("default")
class SurrogateStrategy(HistoryStrategy):
    """Multi-objective Bayesian optimisation in which only some objectives are expensive.

    An inner evolution on optimistic predictions of the surrogate yields a pool of candidates, from which a
    batch is selected by expected hypervolume improvement (`nas.surrogates.acquisition`).

    With several fidelities, the next evaluation is the one with the largest expected improvement of the
    predicted front for its cost: of a new candidate, or of one evaluated before at a lower fidelity. In the
    end the remaining budget goes to full evaluations of that front's members. A cheaper fidelity at which all
    evaluations fail is given up.

    Args:
        initial: candidates evaluated before the surrogate is used; where the problem has a prior, which tells
            more than random ones do, no more than its seeds.
        pool: candidates that the inner search keeps.
        generations: of the inner search, each of `pool` candidates.
        optimism: standard deviations by which the inner search takes expensive objectives to be better than
            their means, so that the pool includes uncertain candidates.
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
        if problem.prior is not None and problem.seeds is not None:
            initial = min(initial, max(LEAST, len(problem.seeds)))
        self._initial, self._size, self._generations = initial, pool, generations
        self._optimism = optimism
        self._variation = Variation(problem.encoding)
        self._surrogate = Surrogate(problem)
        self._learned_at = 0
        self._pool = self._empty()

    def _offer(self, n: int, left: float) -> tuple[Population, Levels]:
        positions, levels = self._usable()
        if self.history.taken < self._initial or len(positions) < min(self._initial, LEAST):
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
        return self._select(positions[screened], levels[screened], values[whole], n, left)

    def _usable(self) -> tuple[Indices, Levels]:
        """Indices of candidates whose evaluation of highest fidelity gave finite values, and its level."""
        positions, levels = self.history.highest
        usable = np.isfinite(self.history.values_at(positions, levels)).all(1)
        return positions[usable], levels[usable]

    def _allowed(self) -> Levels:
        """The fidelities that are worth asking for: whole evaluations, and cheaper ones unless all fail."""
        positions, levels = self.history.observations
        finite = np.isfinite(self.history.values_at(positions, levels)).all(1)
        told, succeeded = (
            np.bincount(of, minlength=self.history.full + 1) for of in (levels, levels[finite])
        )
        given_up = (told >= FAILURES) & (succeeded == 0)
        given_up[self.history.full] = False
        return np.flatnonzero(~given_up)

    def _learn_from(self, candidates: Indices) -> None:
        """Fit the surrogate to all observations of these candidates."""
        positions, levels = self.history.observations
        values = self.history.values_at(positions, levels)
        used = np.isin(positions, candidates) & np.isfinite(values).all(1)
        positions, levels, values = positions[used], levels[used], values[used]
        population = self.history.rows(positions)
        # Kernel parameters are learned again after a quarter more observations.
        learn = len(self.history) >= 1.25 * self._learned_at
        values = self.problem.refreshed(population, values)
        self._surrogate.fit(population, values, learn, positions, levels)
        self._learned_at = len(self.history) if learn else self._learned_at

    def _start(self, n: int) -> tuple[Population, Levels]:
        """Random candidates, those that meet the bounds of the free objectives first; every fourth at full
        fidelity, the others at the lowest."""
        rows = self.problem.encoding.sample(n if not self.problem.free else DRAWS * n, self.rng)
        violation = self.problem.free_violation(rows)
        whole = (self.history.taken + np.arange(len(rows))) % 4 == 0
        return rows[np.argsort(violation, kind="stable")], np.where(
            whole, self.history.full, self._allowed()[0]
        )

    def _search(self, elite: Population) -> Population:
        """(pool, genes) survivors of the inner evolution, best first by optimistic predictions."""
        everything = self.problem.encoding.enumerate(ENUMERABLE)
        if everything is not None:
            return self._survivors(self.history.fresh(everything))[0]
        start = [elite, self._pool, self.problem.encoding.sample(self._size, self.rng)]
        parents, predicted = self._survivors(np.concatenate(start))
        for _ in range(self._generations):
            pairs = mates(predicted, self._size, self.rng)
            children = self._variation.children(parents, pairs, self.rng)
            parents, predicted = self._survivors(np.concatenate([parents, children]), predicted)
        return parents

    def _survivors(
        self, population: Population, predicted: Values | None = None
    ) -> tuple[Population, Values]:
        """The best distinct candidates and their predictions, which may be given for the first rows."""
        given = 0 if predicted is None else len(predicted)
        _, first = np.unique(self.problem.encoding.keys(population), return_index=True)
        kept, new = first[first < given], first[first >= given]
        values = self._surrogate.predict(population[new], self._optimism)
        if predicted is not None:
            values = np.concatenate([predicted[kept], values])
        rows = population[np.concatenate([kept, new])]
        order = best_first(values, self.problem.violation(values), self._size)
        return rows[order], values[order]

    def _select(
        self, screened: Indices, levels: Levels, told: Values, n: int, left: float
    ) -> tuple[Population, Levels]:
        """(≤ n, genes) candidates from the pool or from those screened at these levels, and the fidelity of
        each.

        Args:
            told: (k, objectives) minimised values of full evaluations.
        """
        fresh = self.history.fresh(self._pool)
        pool = np.concatenate([fresh, self.history.rows(screened)])
        levels = np.concatenate([np.full(len(fresh), -1), levels])
        free = self.problem.violation(self._surrogate.predict(pool, 0.0), self.problem.free)
        if not (free == 0).any():
            # Only full evaluations are reported; lower fidelities say nothing about the bounds.
            order = np.argsort(free, kind="stable")[:n]
            return pool[order], np.full(len(order), self.history.full)
        pool, levels = pool[free == 0], levels[free == 0]
        pending = self.history.pending[-WAITING:]
        rows = np.concatenate([pending, pool])
        mean, posteriors = self._surrogate.posterior(rows, self._observed(rows))
        costs = np.array(self.problem.fidelities)
        selection = BatchSelection(
            rows, self.history.asked(pending), levels, mean, posteriors, self.problem.expensive, costs
        )
        predicted = np.concatenate([told, mean[len(pending) :][levels >= 0]])
        if self._must_finish(predicted, len(told), n, left):
            return selection.select(n, *self._attained(told, mean), np.array([self.history.full]))
        return selection.select(n, *self._attained(predicted, mean), self._allowed())

    def _observed(self, rows: Population) -> Indices:
        """Positions of the rows that were observed; -1 for the others."""
        positions = self.history.find(rows)
        return np.where(np.isin(positions, self.history.highest[0]), positions, -1)

    def _must_finish(self, predicted: Values, whole: int, n: int, left: float) -> bool:
        """Whether the remaining budget is needed for full evaluations of the predicted front."""
        feasible = self.problem.violation(predicted) == 0
        on_front = np.zeros(len(predicted), bool)
        if feasible.any():
            on_front[feasible] = moocore.is_nondominated(predicted[feasible])
        return left - n * self.problem.fidelities[0] < on_front[whole:].sum()

    def _attained(self, told: Values, predicted: Values) -> tuple[Values, NDArray[np.float64]]:
        """The feasible front so far (k, m), and the reference point: the problem's, or a tenth beyond the
        worst values of the front together with the predictions; never beyond a bound."""
        feasible = told[self.problem.violation(told) == 0]
        front = moocore.filter_dominated(feasible) if len(feasible) else feasible
        if self.problem.reference is not None:
            reference = self.problem.minimised(np.array(self.problem.reference, float))
        else:
            finite = predicted[np.isfinite(predicted).all(1)]
            both = moocore.filter_dominated(np.concatenate([front, finite]))
            reference = both.max(0) + 0.1 * np.ptp(both, axis=0) + 1e-9
        return front, np.minimum(reference, self.problem.bounds)

    def state(self) -> dict[str, Any]:
        """See `Strategy.state`."""
        return super().state() | {
            "pool": pack(self._pool),
            "surrogate": self._surrogate.state(),
            "taught": self._learned_at,
        }

    def restore(self, state: dict[str, Any], journal: Iterable[Mapping[str, Any]]) -> Self:
        """See `Strategy.restore`."""
        self._pool, self._learned_at = unpack(state["pool"]), state["taught"]
        self._surrogate.restore(state["surrogate"])
        return super().restore(state, journal)
