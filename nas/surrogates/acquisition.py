"""Acquisition: which candidates to evaluate next, and at which fidelity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

from nas.problem import Levels, Values
from nas.surrogates.gaussian_process import JointPosterior
from searchspaces.encoding import Population

__all__ = ["BatchSelection", "ExpectedHypervolumeImprovement"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

QUADRATURE = 1024


class ExpectedHypervolumeImprovement:
    """By how much a candidate is expected to increase the dominated hypervolume, all objectives minimised.

    One uncertain objective, the pivot, is integrated in closed form: at a point x of the other objectives a
    candidate that reaches x gains E[(f(x) − pivot)⁺], where f(x) is the best pivot value that the front
    attains at x. The remaining objectives are integrated numerically: over the cells between all values that
    occur where there is one of them, exact if it is known; over quasi-random points where there are more.

    Args:
        front: (k, m) values attained so far.
        reference: (m,) the worst values that count; a bound, where there is one.
        mean: (n, m) posterior means of the candidates; exact values of objectives that are known.
        pivot: column of the pivot.
    """

    def __init__(self, front: Matrix, reference: Vector, mean: Matrix, pivot: int) -> None:
        self._pivot, self._mean = pivot, mean
        self._others = [i for i in range(mean.shape[1]) if i != pivot]
        others = mean[:, self._others]
        self._points, self._weights = _cells(
            np.concatenate([front[:, self._others], others]), reference[self._others]
        )
        self._best = np.full(len(self._points), reference[pivot])
        for values in front:
            self.attain(values)

    def attain(self, values: Vector) -> None:
        """Count these (m,) values as attained."""
        reached = (self._points >= values[self._others]).all(1)
        self._best[reached] = np.minimum(self._best[reached], values[self._pivot])

    def of(self, std: Matrix) -> Vector:
        """(n,) expected improvement of each candidate, given its (n, m) standard deviations: 0 for objectives
        that are known."""
        pivot_std = np.maximum(std[:, self._pivot, None], 1e-12)
        gap = self._best - self._mean[:, self._pivot, None]
        z = gap / pivot_std
        gain = gap * ndtr(z) + pivot_std * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        for j, column in enumerate(self._others):
            distance = self._points[:, j] - self._mean[:, column, None]
            sure = std[:, column, None] == 0
            gain *= np.where(sure, distance >= 0, ndtr(distance / np.where(sure, 1.0, std[:, column, None])))
        return np.asarray(gain @ self._weights)


def _cells(values: Matrix, reference: Vector) -> tuple[Matrix, Vector]:
    """Integration points (q, m) and their weights (q,), between the least values and the reference."""
    least = np.minimum(values.min(0), reference)
    if values.shape[1] == 0:
        return np.empty((1, 0)), np.ones(1)
    if values.shape[1] == 1:
        edges = np.unique(np.append(values[values < reference], reference))
        return edges[:-1, None], np.diff(edges)
    points = qmc.Sobol(values.shape[1], scramble=False).random(QUADRATURE)
    volume = np.full(QUADRATURE, np.prod(reference - least) / QUADRATURE)
    return least + points * (reference - least), volume


@dataclass(frozen=True)
class BatchSelection:
    """Chooses the next evaluations among candidates: which, and at which fidelity.

    Greedy: each choice has the largest expected hypervolume improvement for its cost. Once chosen, a
    candidate counts as evaluated with its posterior mean as the result ("kriging believer", Ginsbourger et
    al., 2010), so that similar candidates become less uncertain and gain less; pending candidates count the
    same way.

    Attributes:
        rows: (n, genes) candidates: those pending first, then those to choose from.
        pending: (w,) fidelities at which the first w are being evaluated.
        levels: (n - w,) highest fidelity at which each of the others was evaluated; -1 for never.
        mean: (n, objectives) minimised posterior means; values of the objectives that are free.
        posteriors: one for each expensive objective.
        expensive: their columns.
        costs: of each fidelity, in full evaluations.
    """

    rows: Population
    pending: Levels
    levels: Levels
    mean: Values
    posteriors: Sequence[JointPosterior]
    expensive: Sequence[int]
    costs: NDArray[np.float64]

    def select(
        self, n: int, front: Values, reference: NDArray[np.float64], allowed: Levels | None = None
    ) -> tuple[Population, Levels]:
        """(≤ n, genes) candidates, and the fidelity of each.

        Args:
            front, reference: what is to be improved, see `ExpectedHypervolumeImprovement`.
            allowed: the fidelities that may be chosen; all where None.
        """
        pivot = self.expensive[0] if self.expensive else 0
        improvement = ExpectedHypervolumeImprovement(front, reference, self.mean, pivot)
        posteriors = list(self.posteriors)

        def count(which: int, level: int) -> None:
            improvement.attain(self.mean[which])
            posteriors[:] = [posterior.conditioned(which, level) for posterior in posteriors]

        for which, level in enumerate(self.pending.tolist()):
            count(which, level)
        full = len(self.costs) - 1
        highest = np.concatenate([np.full(len(self.pending), full), self.levels])
        chosen: list[tuple[int, int]] = []
        for _ in range(min(n, len(self.levels))):
            gain = np.full((len(self.costs), len(self.rows)), -1.0)
            for level in range(len(self.costs)) if allowed is None else allowed.tolist():
                open_ = highest < level
                std = self._mean_shift(posteriors, level)
                gain[level, open_] = improvement.of(std)[open_] / self.costs[level]
            level, which = divmod(int(np.argmax(gain)), len(self.rows))
            if gain[level, which] < 0:
                break
            chosen.append((which, level))
            highest[which] = full
            count(which, level)
        indices = np.array(chosen, np.int64).reshape(-1, 2)
        return self.rows[indices[:, 0]], indices[:, 1]

    def _mean_shift(self, posteriors: Sequence[JointPosterior], level: int) -> Values:
        """(n, objectives) see `JointPosterior.mean_shift`; 0 for objectives that are free."""
        std = np.zeros_like(self.mean)
        for column, posterior in zip(self.expensive, posteriors, strict=True):
            std[:, column] = posterior.mean_shift(level)
        return std
