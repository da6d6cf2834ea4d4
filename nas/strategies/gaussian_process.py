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
        smooth: names of the blocks of the squared-exponential part; absent ones are ignored.
    """

    def __init__(self, smooth: tuple[str, ...]) -> None:
        self._smooth_names = smooth
        self.parameters: Vector | None = None

    def fit(self, blocks: Blocks, targets: Vector, learn: bool = True) -> GaussianProcess:
        """Learn from blocks of (n, ·) features and (n,) targets.

        Args:
            learn: whether to maximise the likelihood, from where the last fit ended; else its
                parameters are kept.
        """
        self._names = list(blocks)
        self._smooth = [name for name in self._names if name in self._smooth_names]
        self._mean = float(targets.mean())
        self._scale = float(targets.std()) or 1.0
        y = (targets - self._mean) / self._scale
        self._centre = {name: x.mean(0) for name, x in blocks.items()}
        self._unit = {
            name: 1.0 / np.sqrt(max(float(np.square(x - self._centre[name]).sum(1).mean()), 1e-12))
            for name, x in blocks.items()
        }
        self._x = self._scaled(blocks)
        grams = np.stack([self._x[name] @ self._x[name].T for name in self._names])
        distances = np.stack([_distances(self._x[name], self._x[name]) for name in self._smooth])
        prior = self._prior()
        if self.parameters is None or len(self.parameters) != len(prior):
            self.parameters = prior.copy()
        if learn:
            bounds = [(p - 7.0, p + 7.0) for p in prior]
            bounds[-1] = (np.log(NOISE_FLOOR), np.log(1.0))
            found = minimize(
                _negative_log_posterior,
                self.parameters,
                args=(grams, distances, y, prior),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 40},
            )
            self.parameters = found.x
        v, s, w, noise = _split(self.parameters, len(self._names))
        kernel = np.tensordot(v, grams, 1) + s * np.exp(-0.5 * np.tensordot(w, distances, 1))
        self._factor = cho_factor(kernel + noise * np.eye(len(y)), lower=True)
        self._alpha = cho_solve(self._factor, y)
        # The linear part collapses to one weight vector a block: prediction need not touch the data.
        self._weights = {name: v[i] * (self._x[name].T @ self._alpha) for i, name in enumerate(self._names)}
        return self

    def mean(self, blocks: Blocks) -> Vector:
        """(n,) expected values: quick, for the inner search."""
        x = self._scaled(blocks)
        linear = sum(x[name] @ self._weights[name] for name in self._names)
        return self._mean + self._scale * (linear + self._smooth_kernel(x, self._x) @ self._alpha)

    def mean_and_std(self, blocks: Blocks) -> tuple[Vector, Vector]:
        """(n,) expected values and (n,) standard deviations of the noise-free function."""
        x = self._scaled(blocks)
        v, s, _, _ = _split(self._learned, len(self._names))
        cross = self._kernel(x, self._x)
        half = solve_triangular(self._factor[0], cross.T, lower=True, check_finite=False)
        own = s + sum(v[i] * np.square(x[name]).sum(1) for i, name in enumerate(self._names))
        variance = np.maximum(own - np.square(half).sum(0), 0.0)
        return self._mean + self._scale * (cross @ self._alpha), self._scale * np.sqrt(variance)

    def posterior(self, blocks: Blocks) -> Posterior:
        """The joint belief over these candidates; costs the square of their number."""
        x = self._scaled(blocks)
        noise = _split(self._learned, len(self._names))[3]
        cross = self._kernel(x, self._x)
        half = solve_triangular(self._factor[0], cross.T, lower=True)
        covariance = self._kernel(x, x) - half.T @ half
        return Posterior(
            self._mean + self._scale * (cross @ self._alpha),
            self._scale**2 * covariance,
            self._scale**2 * float(noise),
        )

    @property
    def _learned(self) -> Vector:
        if self.parameters is None:
            raise RuntimeError("fit comes before prediction")
        return self.parameters

    def _scaled(self, blocks: Blocks) -> dict[str, Matrix]:
        return {name: (x - self._centre[name]) * self._unit[name] for name, x in blocks.items()}

    def _kernel(self, x: Mapping[str, Matrix], other: Mapping[str, Matrix]) -> Matrix:
        v = _split(self._learned, len(self._names))[0]
        linear = sum(v[i] * (x[name] @ other[name].T) for i, name in enumerate(self._names))
        return linear + self._smooth_kernel(x, other)

    def _smooth_kernel(self, x: Mapping[str, Matrix], other: Mapping[str, Matrix]) -> Matrix:
        _, s, w, _ = _split(self._learned, len(self._names))
        left = np.concatenate([x[name] * np.sqrt(w[i]) for i, name in enumerate(self._smooth)], axis=1)
        right = np.concatenate([other[name] * np.sqrt(w[i]) for i, name in enumerate(self._smooth)], axis=1)
        return s * np.exp(-0.5 * _distances(left, right))

    def _prior(self) -> Vector:
        """Where the logarithms of v, s, noise and w are expected: equal shares, a length near the typical
        distance (which is √2 a block), 1% of noise."""
        blocks = len(self._names)
        v = np.full(blocks, np.log(0.5 / blocks))
        w = np.full(len(self._smooth), np.log(0.5 / max(len(self._smooth), 1)))
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
