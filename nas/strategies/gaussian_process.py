"""Gaussian-process regression on blocks of features, its scales learned from the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

__all__ = ["GaussianProcess", "Posterior"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Blocks = Mapping[str, Matrix]

NOISE_FLOOR = 1e-5
NEWEST = 40
"""Observations by which the spread is calibrated."""
SHRINKAGE = 10
"""Observations that the assumption of a right spread counts for."""


@dataclass(frozen=True)
class Posterior:
    """Joint normal belief over candidates.

    Attributes:
        mean: (n,).
        covariance: (n, n) of the noise-free function.
        noise: variance of one observation.
    """

    mean: Vector
    covariance: Matrix
    noise: float


class GaussianProcess:
    """A sum of kernels: linear in each block, and squared-exponential in the smooth blocks together.

    k(x, y) = Σ_b v_b ⟨x_b, y_b⟩ + s · exp(−½ Σ_b |x_b − y_b|² w_b) over blocks scaled to unit mean square
    distance; v, s, w and the noise maximise the marginal likelihood under weak log-normal priors
    (Rasmussen and Williams, 2006, chapter 5).

    Args:
        smooth: names of the blocks of the squared-exponential part; absent ones are ignored. Without any
            the mean is a weighted sum of features, and that part is a constant's uncertainty.
    """

    def __init__(self, smooth: tuple[str, ...]) -> None:
        self._smooth_names = smooth
        self.parameters: Vector | None = None

    def fit(self, blocks: Blocks, targets: Vector, learn: bool = True) -> GaussianProcess:
        """Learn from blocks of (n, ·) features and (n,) targets, the newest last.

        Args:
            learn: whether to maximise the likelihood, from where the last fit ended; else its
                parameters are kept.
        """
        names = list(blocks)
        smooth = [name for name in names if name in self._smooth_names]
        self._mean = float(targets.mean())
        self._scale = float(targets.std()) or 1.0
        y = (targets - self._mean) / self._scale
        self._centre = {name: x.mean(0) for name, x in blocks.items()}
        centred = {name: x - self._centre[name] for name, x in blocks.items()}
        unit = {
            name: 1.0 / np.sqrt(max(float(np.square(x).sum(1).mean()), 1e-12)) for name, x in centred.items()
        }
        prior = _prior(len(names), len(smooth))
        if self.parameters is None or len(self.parameters) != len(prior):
            self.parameters = prior.copy()
        if learn:
            scaled = {name: x * unit[name] for name, x in centred.items()}
            bounds = [(p - 7.0, p + 7.0) for p in prior]
            bounds[-1] = (np.log(NOISE_FLOOR), np.log(1.0))
            found = minimize(
                _negative_log_posterior,
                self.parameters,
                args=(
                    np.stack([scaled[name] @ scaled[name].T for name in names]),
                    np.array([_distances(scaled[name], scaled[name]) for name in smooth]).reshape(
                        len(smooth), len(y), len(y)
                    ),
                    y,
                    prior,
                ),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 40},
            )
            self.parameters = found.x
        v, self._amplitude, w, self._noise = _split(self.parameters, len(names))
        self._linear = {name: unit[name] * np.sqrt(v[i]) for i, name in enumerate(names)}
        self._smooth = {name: unit[name] * np.sqrt(w[i]) for i, name in enumerate(smooth)}
        self._data = self._project(blocks)
        kernel = self._kernel(self._data, self._data)
        factor = cho_factor(kernel + self._noise * np.eye(len(y)), lower=True)
        self._alpha = cho_solve(factor, y)
        # Many small predictions follow: a product with the inverse is twice as quick as solving.
        self._inverse = solve_triangular(factor[0], np.eye(len(y)), lower=True)
        self._spread = self._scale * self._calibration()
        return self

    def _calibration(self) -> float:
        """By how much the newest observations missed what the others said of them, in standard deviations
        (leave-one-out residuals in closed form), shrunk towards 1. They are what a search chose, and so
        closer to what it will choose next than the average of all, which the likelihood settles."""
        precision = np.square(self._inverse).sum(0)
        missed = np.square(self._alpha[-NEWEST:]) / precision[-NEWEST:]
        return float(np.sqrt((SHRINKAGE + missed.sum()) / (SHRINKAGE + len(missed))))

    def mean_and_std(self, blocks: Blocks) -> tuple[Vector, Vector]:
        """(n,) expected values and (n,) standard deviations of the noise-free function."""
        x = self._project(blocks)
        cross = self._kernel(x, self._data)
        own = self._amplitude + np.square(x[0]).sum(1)
        variance = np.maximum(own - np.square(cross @ self._inverse.T).sum(1), 0.0)
        return self._mean + self._scale * (cross @ self._alpha), self._spread * np.sqrt(variance)

    def mean(self, blocks: Blocks) -> Vector:
        """(n,) expected values alone; where no block is smooth, at the cost of one weighted sum."""
        linear, smooth = self._project(blocks)
        weights = self._data[0].T @ self._alpha
        if self._smooth:
            rest = self._amplitude * np.exp(-0.5 * _distances(smooth, self._data[1])) @ self._alpha
        else:
            rest = self._amplitude * self._alpha.sum()
        return self._mean + self._scale * (linear @ weights + rest)

    def posterior(self, blocks: Blocks) -> Posterior:
        """The joint belief over these candidates; costs the square of their number."""
        x = self._project(blocks)
        cross = self._kernel(x, self._data)
        half = cross @ self._inverse.T
        return Posterior(
            self._mean + self._scale * (cross @ self._alpha),
            self._spread**2 * (self._kernel(x, x) - half @ half.T),
            self._spread**2 * self._noise,
        )

    def _project(self, blocks: Blocks) -> tuple[Matrix, Matrix]:
        """Features scaled such that the kernel's two parts are plain products and distances."""
        rows = len(next(iter(blocks.values())))
        linear, smooth = (
            np.concatenate(
                [
                    np.empty((rows, 0)),
                    *((blocks[name] - self._centre[name]) * by for name, by in scales.items()),
                ],
                axis=1,
            )
            for scales in (self._linear, self._smooth)
        )
        return linear, smooth

    def _kernel(self, x: tuple[Matrix, Matrix], other: tuple[Matrix, Matrix]) -> Matrix:
        return x[0] @ other[0].T + self._amplitude * np.exp(-0.5 * _distances(x[1], other[1]))


def _prior(blocks: int, smooth: int) -> Vector:
    """Where the logarithms of v, s, w and the noise are expected: equal shares, a length near the typical
    distance (which is √2 a block), 1% of noise."""
    v = np.full(blocks, np.log(0.5 / blocks))
    w = np.full(smooth, np.log(0.5 / max(smooth, 1)))
    return np.concatenate([v, [np.log(0.5)], w, [np.log(1e-2)]])


def _split(parameters: Vector, blocks: int) -> tuple[Vector, float, Vector, float]:
    values = np.exp(parameters)
    return values[:blocks], float(values[blocks]), values[blocks + 1 : -1], float(values[-1])


def _distances(a: Matrix, b: Matrix) -> Matrix:
    """Squared Euclidean distances between rows."""
    squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * (a @ b.T)
    return np.maximum(squared, 0.0)


PRIOR_STD = 2.0


def _negative_log_posterior(
    parameters: Vector, grams: Matrix, distances: Matrix, y: Vector, prior: Vector
) -> tuple[float, Vector]:
    """Minus the log marginal likelihood and log prior, with the gradient by the log parameters."""
    v, s, w, noise = _split(parameters, len(grams))
    smooth = s * np.exp(-0.5 * np.tensordot(w, distances, 1))
    kernel = np.tensordot(v, grams, 1) + smooth
    kernel[np.diag_indices_from(kernel)] += noise + 1e-8
    factor = cho_factor(kernel, lower=True)
    alpha = cho_solve(factor, y)
    value = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum()
    # d value / d K, so that every gradient is a sum over its element-wise product with d K.
    slope = 0.5 * (cho_solve(factor, np.eye(len(y))) - np.outer(alpha, alpha))
    weighted = slope * smooth
    gradient = np.concatenate(
        [
            v * np.tensordot(grams, slope, 2),
            [weighted.sum()],
            -0.5 * w * np.tensordot(distances, weighted, 2),
            [noise * np.trace(slope)],
        ]
    )
    away = (parameters - prior) / PRIOR_STD
    return float(value + 0.5 * away @ away), gradient + away / PRIOR_STD
