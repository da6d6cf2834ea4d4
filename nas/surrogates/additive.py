"""Surrogate of the objectives as sums over layers and neighbouring layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.exact.additive import AdditiveModel
from nas.exact.decomposition import Decomposition, Function
from nas.problem import SearchProblem, Values
from nas.surrogates.features import StructureFeatures
from nas.surrogates.surrogate import Surrogate
from searchspaces.encoding import Encoding, Population

__all__ = ["AdditiveSurrogate", "least_squares", "summed"]

ADDITIVE = ("globals", "counts", "layers", "blocks", "neighbours", "prior")
"""Blocks of features whose weighted sums add up over layers and neighbouring layers."""
RIDGE = 1e-6
FEWEST = 2
"""Finite evaluations that it can be learned from."""
LARGEST = 600
"""Evaluations learned from, the latest ones: fitting takes time cubic in their number."""
PROBES = 2000
"""Random candidates for the least-squares fit of free objectives that do not add up."""


class AdditiveSurrogate:
    """All objectives, minimised, as one additive model, so that optima can be proved.

    Expensive objectives are the mean of a Gaussian process that is linear in features that add up over layers
    and neighbouring layers. Free objectives are taken as they are if they add up too, else by their
    least-squares fit.

    Attributes:
        model: of all objectives, in the problem's order.
        exact: whether the free objectives add up.
        evaluations: that the model of quality was learned from: `LARGEST` at most.

    Args:
        population, values: (n, genes) canonical and (n, objectives), as told to a strategy, the latest last.

    Raises:
        ValueError: fewer than two candidates have finite values.
    """

    def __init__(
        self,
        problem: SearchProblem,
        decomposition: Decomposition,
        population: Population,
        values: Values,
        seed: int = 0,
    ) -> None:
        self._problem = problem
        usable = np.isfinite(values).all(1)
        if usable.sum() < FEWEST:
            raise ValueError(
                f"{int(usable.sum())} candidates with finite values; at least {FEWEST} are needed"
            )
        population, values = population[usable][-LARGEST:], values[usable][-LARGEST:]
        self.evaluations = len(population)
        self._surrogate = Surrogate(problem, smooth=(), seen=ADDITIVE)
        self._surrogate.fit(population, problem.refreshed(population, values), learn=True)
        known: Function = self._minimised_known
        self.exact = True
        if problem.free:
            alone = AdditiveModel(decomposition, known, seed)
            self.exact = bool(alone.exact.all())
            if not self.exact:
                known = summed(problem.encoding, known, seed)

        def predicted(rows: Population) -> Values:
            found = np.empty((len(rows), len(problem.objectives)))
            found[:, problem.expensive] = self._surrogate.mean(rows)
            if problem.free:
                found[:, problem.free] = known(rows)
            return found

        self.model = AdditiveModel(decomposition, predicted, seed)

    def _minimised_known(self, rows: Population) -> Values:
        """(n, free objectives)."""
        return self._problem.free_values(rows)[:, self._problem.free]

    def means(self, population: Population) -> Values:
        """(n, expensive objectives) minimised posterior means."""
        return self._surrogate.mean(population)

    def deviations(self, population: Population) -> NDArray[np.float64]:
        """(n, expensive objectives) standard deviations of what each candidate scores, as if it had not been
        evaluated: what features do not explain of it is part of its score."""
        _, posteriors = self._surrogate.posterior(population)
        variances = [np.maximum(np.diag(p.covariance), 0.0) + p.noises for p in posteriors]
        return np.sqrt(np.stack(variances, axis=1))


def summed(encoding: Encoding, function: Function, seed: int = 0) -> Function:
    """The sum over layers and neighbouring layers nearest to a function, over random candidates."""
    probes = encoding.sample(PROBES, np.random.default_rng(seed))
    return least_squares(encoding, probes, function(probes))


def least_squares(encoding: Encoding, population: Population, values: Values) -> Function:
    """The sum over layers and neighbouring layers nearest to (n, m) values of a random population, by ridge
    regression: for functions that do not add up."""
    features = StructureFeatures(encoding)

    def described(rows: Population) -> Values:
        blocks = features.blocks(rows)
        return np.concatenate([blocks[name] for name in ADDITIVE if name in blocks], axis=1)

    x = described(population)
    centre, constant = x.mean(0), values.mean(0)
    x = x - centre
    gram = x.T @ x + RIDGE * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (values - constant))

    def predicted(rows: Population) -> Values:
        return constant + (described(rows) - centre) @ weights

    return predicted
