"""Which evaluations to buy next: of which candidates, and how dear ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

from nas.problem import Levels, Values
from nas.surrogates.gaussian_process import Posterior
from searchspaces.encoding import Population

__all__ = ["ExpectedImprovement", "Offers"]

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


@dataclass
class Offers:
    """Candidates, and what is believed of them: first those waited for, then those that may be picked.

    One after another is picked by the hypervolume improvement that is expected for what its evaluation
    costs; each pick, and each candidate still waited for, counts as attained at its mean and as evaluated, so
    that its like lose their uncertainty (Ginsbourger et al., 2010, "kriging believer").

    Attributes:
        rows: (n, genes).
        awaited: (w,) fidelities at which the first w are waited for.
        levels: (n - w,) highest fidelity at which the others were evaluated, -1 where they never were.
        mean: (n, objectives) minimised values believed.
        beliefs: of each dear objective.
        dear: columns of those.
        costs: of each fidelity, in whole evaluations.
    """

    rows: Population
    awaited: Levels
    levels: Levels
    mean: Values
    beliefs: list[Posterior]
    dear: Sequence[int]
    costs: NDArray[np.float64]

    def pick(
        self, n: int, front: Values, reference: NDArray[np.float64], least: int = 0
    ) -> tuple[Population, Levels]:
        """(≤ n, genes) candidates, and the fidelities at which to evaluate them.

        Args:
            front, reference: what is improved on, see `ExpectedImprovement`.
            least: the lowest fidelity to buy.
        """
        improvement = ExpectedImprovement(front, reference, self.mean, self.dear[0] if self.dear else 0)
        for which, level in enumerate(self.awaited.tolist()):
            self._count(improvement, which, level)
        full = len(self.costs) - 1
        highest = np.concatenate([np.full(len(self.awaited), full), self.levels])
        picked: list[tuple[int, int]] = []
        for _ in range(min(n, len(self.levels))):
            gain = np.full((len(self.costs), len(self.rows)), -1.0)
            for level in range(least, len(self.costs)):
                buyable = highest < level
                gain[level, buyable] = improvement.of(self._learned(level))[buyable] / self.costs[level]
            level, which = divmod(int(np.argmax(gain)), len(self.rows))
            if gain[level, which] < 0:
                break
            picked.append((which, level))
            highest[which] = full
            self._count(improvement, which, level)
        chosen = np.array(picked, np.int64).reshape(-1, 2)
        return self.rows[chosen[:, 0]], chosen[:, 1]

    def _count(self, improvement: ExpectedImprovement, which: int, level: int) -> None:
        improvement.attain(self.mean[which])
        self.beliefs = [belief.after(which, level) for belief in self.beliefs]

    def _learned(self, level: int) -> Values:
        """(n, objectives) standard deviations of what an evaluation at this level may change of the means."""
        std = np.zeros_like(self.mean)
        for column, belief in zip(self.dear, self.beliefs, strict=True):
            std[:, column] = belief.learned(level)
        return std
