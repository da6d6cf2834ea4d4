"""Expected hypervolume improvement of candidates with some objectives known and some believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

__all__ = ["ExpectedImprovement"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

QUADRATURE = 1024


class ExpectedImprovement:
    """Expected gain of dominated volume, smaller being better in every objective.

    One uncertain objective, the pivot, is integrated in closed form: at a place x of the other
    objectives a candidate gains E[(f(x) − pivot)⁺] where it reaches x, f being the best pivot value
    that the front attains at x. The other objectives are integrated over cells: with one of them, the cells
    between all values that occur, which is exact where it is known; with more, quasi-random points.

    Args:
        front: (k, m) values attained.
        reference: (m,) the worst values that count; a bound, where there is one.
        mean: (n, m) believed values, exact in known objectives.
        pivot: column of the pivot.
    """

    def __init__(self, front: Matrix, reference: Vector, mean: Matrix, pivot: int) -> None:
        self._pivot, self._mean = pivot, mean
        self._others = [i for i in range(mean.shape[1]) if i != pivot]
        others = mean[:, self._others]
        self._places, self._volume = _cells(
            np.concatenate([front[:, self._others], others]), reference[self._others]
        )
        self._best = np.full(len(self._places), reference[pivot])
        for values in front:
            self.attain(values)

    def attain(self, values: Vector) -> None:
        """Count these (m,) values as attained."""
        reached = (self._places >= values[self._others]).all(1)
        self._best[reached] = np.minimum(self._best[reached], values[self._pivot])

    def of(self, std: Matrix) -> Vector:
        """(n,) the expected improvement of each candidate with these (n, m) standard deviations, 0 in
        known objectives."""
        pivot_std = np.maximum(std[:, self._pivot, None], 1e-12)
        gap = self._best - self._mean[:, self._pivot, None]
        z = gap / pivot_std
        gain = gap * ndtr(z) + pivot_std * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        for j, column in enumerate(self._others):
            distance = self._places[:, j] - self._mean[:, column, None]
            sure = std[:, column, None] == 0
            gain *= np.where(sure, distance >= 0, ndtr(distance / np.where(sure, 1.0, std[:, column, None])))
        return np.asarray(gain @ self._volume)


def _cells(values: Matrix, reference: Vector) -> tuple[Matrix, Vector]:
    """Places (q, m) with the volumes (q,) that they stand for, between the least values and the reference."""
    least = np.minimum(values.min(0), reference)
    if values.shape[1] == 0:
        return np.empty((1, 0)), np.ones(1)
    if values.shape[1] == 1:
        edges = np.unique(np.append(values[values < reference], reference))
        return edges[:-1, None], np.diff(edges)
    points = qmc.Sobol(values.shape[1], scramble=False).random(QUADRATURE)
    volume = np.full(QUADRATURE, np.prod(reference - least) / QUADRATURE)
    return least + points * (reference - least), volume
