"""The default: few dear evaluations, each chosen by what it is expected to add to the front."""

from __future__ import annotations

from typing import Any, Self

import moocore
import numpy as np
from numpy.typing import NDArray

from nas.strategies.dominance import best_first
from nas.strategies.features import StructureFeatures
from nas.strategies.gaussian_process import GaussianProcess
from nas.strategies.improvement import ExpectedImprovement
from nas.strategies.plain import pack, unpack
from nas.strategies.recorded import RecordedStrategy
from nas.strategies.strategy import Problem, Values, register_strategy
from nas.strategies.variation import Variation
from searchspaces.encoding import Population

__all__ = ["SurrogateStrategy"]

SMOOTH = ("globals", "counts", "zones", "free")
"""Blocks of the surrogate whose effects need not add up."""


@register_strategy("default")
class SurrogateStrategy(RecordedStrategy):
    """Bayesian optimisation of the front, where only some objectives are dear.

    Each dear objective gets a Gaussian process on structure-aware features and on the free objectives.
    An inner evolution over its mean and the fresh free objectives gives the pool, from which a batch is
    picked one by one by expected hypervolume improvement, each pick counted as attained at its mean and
    as observed (so that its like lose their uncertainty).

    Args:
        initial: candidates evaluated before the surrogate speaks.
        pool: candidates that the inner search keeps.
        generations: of the inner search, each of `pool` candidates.
    """

    def __init__(
        self, problem: Problem, seed: int = 0, initial: int = 12, pool: int = 200, generations: int = 30
    ) -> None:
        super().__init__(problem, seed)
        self._initial, self._pool_size, self._generations = initial, pool, generations
        self._variation = Variation(problem.encoding)
        self._features = StructureFeatures(problem.encoding)
        self._models = [GaussianProcess(SMOOTH) for _ in problem.dear]
        self._learned = 0
        self._pool = self._empty()

    # Proposing

    def _propose(self, n: int) -> Population:
        values = self.problem.refreshed(self.ledger.population, self.ledger.values)
        usable = np.isfinite(values).all(1)
        if self.ledger.taken < self._initial or usable.sum() < min(self._initial, 4):
            return self.problem.encoding.sample(n, self.rng)
        known, values = self.ledger.population[usable], values[usable]
        self._fit(known, values)
        pool = self.ledger.fresh(self._search(known, values))
        return self._pick(pool, n, values)

    def _fit(self, population: Population, values: Values) -> None:
        """Refit every model; their parameters only once the data has grown by a quarter."""
        learn = len(values) >= 1.25 * self._learned
        blocks = self._blocks(population, values)
        for model, column in zip(self._models, self.problem.dear, strict=True):
            model.fit(blocks, self.problem.minimised(values)[:, column], learn)
        if learn:
            self._learned = len(values)

    def _blocks(self, population: Population, values: Values) -> dict[str, NDArray[np.float64]]:
        blocks = self._features.blocks(population)
        if self.problem.free:
            blocks["free"] = values[:, self.problem.free]
        return blocks

    def _believed(self, population: Population) -> tuple[Values, dict[str, NDArray[np.float64]]]:
        """(n, m) minimised values, the dear ones by the models' means; and the features."""
        values = self.problem.refreshed(population, np.zeros((len(population), len(self.problem.objectives))))
        blocks = self._blocks(population, values)
        values = self.problem.minimised(values)
        for model, column in zip(self._models, self.problem.dear, strict=True):
            values[:, column] = model.mean(blocks)
        return values, blocks

    def _search(self, known: Population, values: Values) -> Population:
        """The inner evolution: (pool, genes) best first by what is believed."""
        smaller = self.problem.minimised(values)
        elite = known[best_first(smaller, self.problem.violation(smaller))[: self._pool_size]]
        parents = np.concatenate([elite, self._pool, self.problem.encoding.sample(self._pool_size, self.rng)])
        parents, believed = self._survivors(parents)
        for _ in range(self._generations):
            first, second = np.minimum(*self.rng.integers(0, len(parents), (2, 2, self._pool_size)))
            children = self._variation.children(parents[first], parents[second], self.rng)
            parents, believed = self._survivors(children, parents, believed)
        self._pool = parents
        return parents

    def _survivors(
        self, population: Population, parents: Population | None = None, believed: Values | None = None
    ) -> tuple[Population, Values]:
        values, _ = self._believed(population)
        if parents is not None and believed is not None:
            population, values = np.concatenate([parents, population]), np.concatenate([believed, values])
        _, first = np.unique(self.problem.encoding.keys(population), return_index=True)
        population, values = population[first], values[first]
        order = best_first(values, self.problem.violation(values))[: self._pool_size]
        return population[order], values[order]

    # Picking

    def _pick(self, pool: Population, n: int, values: Values) -> Population:
        """(min(n, pool), genes) of the pool, one by one by expected hypervolume improvement."""
        if not len(pool):
            return pool
        mean, blocks = self._believed(pool)
        violation = self._free_violation(mean)
        if (violation > 0).all():
            return pool[np.argsort(violation, kind="stable")[:n]]
        pool, mean = pool[violation == 0], mean[violation == 0]
        posteriors = [
            model.posterior({name: block[violation == 0] for name, block in blocks.items()})
            for model in self._models
        ]
        covariances = [posterior.covariance for posterior in posteriors]
        front, reference = self._attained(values, mean)
        improvement = ExpectedImprovement(front, reference, mean, (self.problem.dear or [0])[0])
        chosen: list[int] = []
        for _ in range(min(n, len(pool))):
            std = np.zeros_like(mean)
            for column, covariance in zip(self.problem.dear, covariances, strict=True):
                std[:, column] = np.sqrt(np.maximum(np.diag(covariance), 0.0))
            gain = improvement.of(std)
            gain[chosen] = -1.0
            best = int(np.argmax(gain))
            chosen.append(best)
            improvement.attain(mean[best])
            covariances = [
                c - np.outer(c[best], c[best]) / (c[best, best] + p.noise)
                for c, p in zip(covariances, posteriors, strict=True)
            ]
        return pool[chosen]

    def _free_violation(self, minimised: Values) -> NDArray[np.float64]:
        """(n,) violation of the bounds of free objectives alone: dear ones are only believed."""
        return self.problem.violation(minimised, self.problem.free)

    def _attained(self, values: Values, believed: Values) -> tuple[Values, NDArray[np.float64]]:
        """The feasible front so far (k, m), and the reference: a tenth beyond the worst values of the
        front and of what is believed attainable, but never beyond a bound."""
        smaller = self.problem.minimised(values)
        front = moocore.filter_dominated(smaller[self.problem.violation(smaller) == 0])
        both = moocore.filter_dominated(np.concatenate([front, believed]))
        reference = both.max(0) + 0.1 * np.ptp(both, axis=0) + 1e-9
        return front, np.minimum(reference, self.problem.bounds)

    # State

    def state(self) -> dict[str, Any]:
        """See `Strategy.state`."""
        parameters = [m.parameters.tolist() if m.parameters is not None else None for m in self._models]
        return super().state() | {
            "pool": pack(self._pool),
            "parameters": parameters,
            "learned": self._learned,
        }

    def restore(self, state: dict[str, Any]) -> Self:
        """See `Strategy.restore`."""
        self._pool, self._learned = unpack(state["pool"]), state["learned"]
        for model, parameters in zip(self._models, state["parameters"], strict=True):
            model.parameters = None if parameters is None else np.array(parameters)
        return super().restore(state)
