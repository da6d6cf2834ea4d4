"""The default: few dear evaluations, each chosen by what it is expected to add to the front."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import moocore
import numpy as np
from numpy.typing import NDArray

from nas.strategies.dominance import best_first
from nas.strategies.improvement import ExpectedImprovement
from nas.strategies.plain import pack, unpack
from nas.strategies.recorded import RecordedStrategy
from nas.strategies.strategy import Problem, Values, register_strategy
from nas.strategies.surrogate import Surrogate
from nas.strategies.variation import Variation, mates
from searchspaces.encoding import Population

__all__ = ["SurrogateStrategy"]

ENUMERABLE = 20_000
"""Spaces of at most this many codes are scored whole instead of searched."""
DRAWS = 50
"""Random draws for each candidate of the start."""
LARGEST = 600
"""Evaluations that the surrogate learns from, the best ones: its cost grows with their cube."""
WAITING = 64
"""Candidates still waited for that a pick takes into account, the latest ones."""


@register_strategy("default")
class SurrogateStrategy(RecordedStrategy):
    """Bayesian optimisation of the front, where only some objectives are dear.

    An inner evolution on what the surrogate believes, optimistically, gives a pool of candidates. From it a
    batch is picked one by one by expected hypervolume improvement; each pick, and each candidate still
    waited for, counts as attained at its mean and as evaluated, so that its like lose their
    uncertainty (Ginsbourger et al., 2010, "kriging believer").

    Args:
        initial: candidates evaluated before the surrogate speaks.
        pool: candidates that the inner search keeps.
        generations: of the inner search, each of `pool` candidates.
        optimism: standard deviations by which the inner search takes dear objectives to be better than
            their means, so that the pool holds what is uncertain too.
    """

    def __init__(
        self,
        problem: Problem,
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

    def _propose(self, n: int) -> Population:
        population, values = self.ledger.population, self.ledger.values
        values = self.problem.refreshed(population, values)
        usable = np.isfinite(values).all(1)
        if self.ledger.taken < self._initial or usable.sum() < min(self._initial, 4):
            return self._start(n)
        population, values = population[usable], values[usable]
        smaller = self.problem.minimised(values)
        best = best_first(smaller, self.problem.violation(smaller), LARGEST)
        # The parameters are learned again once there is a quarter more to learn from.
        learn = len(self.ledger) >= 1.25 * self._taught
        taught = np.sort(best)
        self._surrogate.fit(population[taught], values[taught], learn)
        self._taught = len(self.ledger) if learn else self._taught
        self._pool = self._search(population[best[: self._size]])
        return self._pick(self.ledger.fresh(self._pool), n, smaller)

    def _start(self, n: int) -> Population:
        """Random candidates, of which those that meet the free objectives' bounds come first."""
        rows = self.problem.encoding.sample(n if not self.problem.free else DRAWS * n, self.rng)
        values = self.problem.refreshed(rows, np.zeros((len(rows), len(self.problem.objectives))))
        violation = self.problem.violation(self.problem.minimised(values), self.problem.free)
        return rows[np.argsort(violation, kind="stable")]

    def _search(self, elite: Population) -> Population:
        """(pool, genes) the inner evolution's survivors, best first by what is believed."""
        everything = self.problem.encoding.enumerate(ENUMERABLE)
        if everything is not None:
            return self._survivors(self.ledger.fresh(everything))[0]
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

    def _pick(self, pool: Population, n: int, attained: Values) -> Population:
        """(min(n, pool), genes) of the pool, one by one by expected hypervolume improvement."""
        free = self.problem.violation(self._surrogate.predict(pool, 0.0), self.problem.free)
        if not (free == 0).any():
            return pool[np.argsort(free, kind="stable")[:n]]
        pool = pool[free == 0]
        waiting = self.ledger.pending[-WAITING:]
        mean, covariances, noises = self._surrogate.posterior(np.concatenate([waiting, pool]))
        front, reference = self._attained(attained, mean)
        improvement = ExpectedImprovement(front, reference, mean, (self.problem.dear or [0])[0])
        chosen: list[int] = []
        for step in range(len(waiting) + min(n, len(pool))):
            if step < len(waiting):
                best = step
            else:
                std = np.zeros_like(mean)
                for column, covariance in zip(self.problem.dear, covariances, strict=True):
                    std[:, column] = np.sqrt(np.maximum(np.diag(covariance), 0.0))
                gain = improvement.of(std)
                gain[: len(waiting)] = gain[chosen] = -1.0
                best = int(np.argmax(gain))
                chosen.append(best)
            improvement.attain(mean[best])
            covariances = [
                covariance - np.outer(covariance[best], covariance[best]) / (covariance[best, best] + noise)
                for covariance, noise in zip(covariances, noises, strict=True)
            ]
        return pool[np.array(chosen, np.int64) - len(waiting)]

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

    def restore(self, state: dict[str, Any], news: Iterable[Mapping[str, Any]]) -> Self:
        """See `Strategy.restore`."""
        self._pool, self._taught = unpack(state["pool"]), state["taught"]
        self._surrogate.restore(state["surrogate"])
        return super().restore(state, news)
