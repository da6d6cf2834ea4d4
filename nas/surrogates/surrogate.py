"""Surrogate of the objectives: expensive ones learned, free ones asked of the problem."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from nas.problem import Levels, SearchProblem, Values
from nas.surrogates.features import StructureFeatures
from nas.surrogates.gaussian_process import GaussianProcess, JointPosterior
from searchspaces.encoding import Population

__all__ = ["Surrogate"]

SMOOTH = ("globals", "counts", "returns", "zones", "free", "prior")
"""Blocks of features whose effects need not add up."""


class Surrogate:
    """A Gaussian process for each expensive objective, on features of structure and the free objectives.

    Args:
        smooth: blocks of features with a squared-exponential kernel too, so that their effects need not add
            up.
        seen: blocks to use; all of them, the free objectives included, if None.
    """

    def __init__(
        self, problem: SearchProblem, smooth: tuple[str, ...] = SMOOTH, seen: Collection[str] | None = None
    ) -> None:
        self._problem = problem
        self._features = StructureFeatures(problem.encoding)
        self._seen = seen
        self._models = [GaussianProcess(smooth, len(problem.fidelities)) for _ in problem.expensive]
        self._positive: NDArray[np.bool_] = np.zeros(len(problem.free), bool)

    def fit(
        self,
        population: Population,
        values: Values,
        learn: bool,
        candidates: NDArray[np.int64] | None = None,
        levels: Levels | None = None,
    ) -> None:
        """Fit finite values, whose free columns are up to date, the latest last.

        Args:
            learn: learn the kernels' parameters too; otherwise keep them.
            candidates, levels: see `GaussianProcess.fit`.
        """
        self._positive = np.all(values[:, self._problem.free] > 0, axis=0)
        blocks = self._blocks(population, values)
        smaller = self._problem.minimised(values)
        for model, column in zip(self._models, self._problem.expensive, strict=True):
            model.fit(blocks, smaller[:, column], learn, candidates, levels)

    def predict(self, population: Population, optimism: float) -> Values:
        """(n, objectives) minimised values: of expensive objectives, `optimism` standard deviations below the
        mean."""
        values, blocks = self._free_values(population)
        for model, column in zip(self._models, self._problem.expensive, strict=True):
            mean, std = model.mean_and_std(blocks)
            values[:, column] = mean - optimism * std
        return values

    def mean(self, population: Population) -> Values:
        """(n, expensive objectives) minimised means; quicker than `predict`, which needs deviations."""
        blocks = self._free_values(population)[1]
        return np.stack([model.mean(blocks) for model in self._models], axis=1)

    def posterior(
        self, population: Population, candidates: NDArray[np.int64] | None = None
    ) -> tuple[Values, list[JointPosterior]]:
        """(n, objectives) minimised means, and the joint posterior of each expensive objective.

        Args:
            candidates: see `GaussianProcess.posterior`.
        """
        values, blocks = self._free_values(population)
        posteriors = [model.posterior(blocks, candidates) for model in self._models]
        for posterior, column in zip(posteriors, self._problem.expensive, strict=True):
            values[:, column] = posterior.mean
        return values, posteriors

    def _free_values(self, population: Population) -> tuple[Values, dict[str, NDArray[np.float64]]]:
        """(n, objectives) minimised values, the expensive columns 0, and the features."""
        values = np.zeros((len(population), len(self._problem.objectives)))
        values = self._problem.refreshed(population, values)
        return self._problem.minimised(values), self._blocks(population, values)

    def _blocks(self, population: Population, values: Values) -> dict[str, NDArray[np.float64]]:
        blocks = self._features.blocks(population)
        if self._problem.free:
            free = values[:, self._problem.free]
            # Sizes and times have diminishing returns: what matters is their ratios.
            blocks["free"] = np.where(self._positive, np.log(np.maximum(free, 1e-300)), free)
        if self._problem.prior is not None:
            blocks["prior"] = self._problem.prior(population)[:, None]
        return blocks if self._seen is None else {n: x for n, x in blocks.items() if n in self._seen}

    def state(self) -> list[list[float] | None]:
        """The kernels' parameters, as plain data."""
        return [None if m.parameters is None else m.parameters.tolist() for m in self._models]

    def restore(self, state: list[list[float] | None]) -> None:
        """Take over a state."""
        for model, parameters in zip(self._models, state, strict=True):
            model.parameters = None if parameters is None else np.array(parameters)
