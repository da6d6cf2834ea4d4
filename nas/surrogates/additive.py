"""What evaluations say of every objective as sums over layers, so that its optima can be proved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.exact.additive import AdditiveModel
from nas.exact.decomposition import Decomposition, Function
from nas.problem import SearchProblem, Values
from nas.surrogates.features import StructureFeatures
from nas.surrogates.surrogate import Surrogate
from searchspaces.encoding import Encoding, Population

__all__ = ["AdditiveBelief", "least_squares"]

ADDITIVE = ("globals", "counts", "layers", "blocks", "neighbours")
"""Blocks of `StructureFeatures` of which any weighted sum is one over layers and neighbouring layers."""
RIDGE = 1e-6
FEWEST = 2
"""Finite evaluations that a belief can be learned from."""
LARGEST = 600
"""Evaluations that it is learned from, the latest ones: the cost grows with their cube."""
PROBES = 2000
"""Random candidates on which a free objective is fitted that is no sum over layers."""


class AdditiveBelief:
    """Minimised objectives as one additive model: dear ones by a Gaussian process that is linear in what adds
    up over layers and neighbouring layers, free ones as they are, or the nearest such sum of them.

    Attributes:
        model: of all objectives, in the problem's order.
        exact: whether the free objectives are such sums themselves.

    Args:
        population, values: (n, genes) canonical and (n, objectives), as told to a strategy, the newest last.

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
        self._surrogate = Surrogate(problem, smooth=(), seen=ADDITIVE)
        self._surrogate.fit(population, problem.refreshed(population, values), learn=True)
        known: Function = self._minimised_known
        self.exact = True
        if problem.free:
            alone = AdditiveModel(decomposition, known, seed)
            self.exact = bool(alone.exact.all())
            if not self.exact:
                probes = problem.encoding.sample(PROBES, np.random.default_rng(seed))
                known = least_squares(problem.encoding, probes, known(probes))

        def believed(rows: Population) -> Values:
            found = np.empty((len(rows), len(problem.objectives)))
            found[:, problem.dear] = self._surrogate.mean(rows)
            if problem.free:
                found[:, problem.free] = known(rows)
            return found

        self.model = AdditiveModel(decomposition, believed, seed)

    def _minimised_known(self, rows: Population) -> Values:
        """(n, free objectives)."""
        blank = np.zeros((len(rows), len(self._problem.objectives)))
        return self._problem.minimised(self._problem.refreshed(rows, blank))[:, self._problem.free]

    def means(self, population: Population) -> Values:
        """(n, dear objectives) what is believed of the dear ones, minimised."""
        return self._surrogate.mean(population)

    def deviations(self, population: Population) -> NDArray[np.float64]:
        """(n, dear objectives) standard deviations of what is believed of the dear ones."""
        _, beliefs = self._surrogate.posterior(population)
        return np.sqrt(np.maximum(np.stack([np.diag(b.covariance) for b in beliefs], axis=1), 0.0))


def least_squares(encoding: Encoding, population: Population, values: Values) -> Function:
    """The sum over layers and neighbouring layers that is nearest to (n, m) values, by ridge regression:
    for functions that are not such sums, given many random candidates."""
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
