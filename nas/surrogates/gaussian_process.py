"""Gaussian-process regression on blocks of features, its scales learned from the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

__all__ = ["GaussianProcess", "JointPosterior"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Integers = NDArray[np.int64]
Blocks = Mapping[str, Matrix]

NOISE_FLOOR = 1e-5
NEWEST = 40
"""Observations that calibrate the spread, the latest ones."""
OFFSET = 1.0
"""Prior variance of a lower fidelity's constant offset, relative to the variance of the targets."""
SHRINKAGE = 10
"""Weight of the prior assumption that the spread is right, in observations."""


@dataclass(frozen=True)
class JointPosterior:
    """Joint normal posterior of n candidates.

    Attributes:
        mean: (n,).
        covariance: (n, n) of the function without noise; for candidates that were observed, including what
            is left of their noise.
        noises: (n,) noise variance of observing each at full fidelity; 0 where the covariance includes it.
        extra: (fidelities,) variance that observing at each fidelity adds.
    """

    mean: Vector
    covariance: Matrix
    noises: Vector
    extra: Vector

    def mean_shift(self, level: int) -> Vector:
        """(n,) standard deviations of the change that observing each candidate at this fidelity would make to
        its own mean."""
        variance = np.maximum(np.diag(self.covariance), 0.0)
        return variance / np.sqrt(np.maximum(variance + self.extra[level], 1e-300))

    def conditioned(self, which: int, level: int) -> JointPosterior:
        """The posterior once a candidate is observed at this fidelity with its mean as the result."""
        column = self.covariance[which]
        seen = column[which] + self.noises[which] + self.extra[level]
        return replace(self, covariance=self.covariance - np.outer(column, column) / max(seen, 1e-300))


class GaussianProcess:
    """A sum of kernels: one linear kernel for each block, and one squared-exponential kernel on the smooth
    blocks.

    k(x, y) = Σ_b v_b ⟨x_b, y_b⟩ + s · exp(−½ Σ_b |x_b − y_b|² w_b) over blocks scaled to unit mean square
    norm; v, s, w and the noise maximise the marginal likelihood under weak log-normal priors (Rasmussen and
    Williams, 2006, chapter 5). The noise is what features do not explain of a candidate, so that all its
    observations share it. Those of lower fidelity observe a multiple of function and noise, plus a constant
    offset and noise of their own (Kennedy and O'Hagan, 2000, the other way round: the function is the highest
    fidelity).

    Args:
        smooth: names of the blocks of the squared-exponential kernel; absent ones are ignored. With none, the
            mean is a weighted sum of features and that kernel is the uncertainty of a constant.
        fidelities: number of kinds of observation; the last is free of extra noise.
    """

    def __init__(self, smooth: tuple[str, ...], fidelities: int = 1) -> None:
        self._smooth_names, self._fidelities = smooth, fidelities
        self.parameters: Vector | None = None

    def fit(
        self,
        blocks: Blocks,
        targets: Vector,
        learn: bool = True,
        candidates: Integers | None = None,
        levels: Integers | None = None,
    ) -> GaussianProcess:
        """Fit blocks of (n, ·) features to (n,) targets, the latest last.

        Args:
            learn: maximise the likelihood, starting from the last fit's parameters; otherwise keep those.
            candidates: (n,) number of the candidate that each target was observed of; all different if None.
            levels: (n,) fidelity of each target; the highest if None.
        """
        names = list(blocks)
        highest = self._fidelities - 1
        self._candidates = np.arange(len(targets)) if candidates is None else candidates
        levels = np.full(len(targets), highest) if levels is None else levels
        fidelity = _Fidelity(
            (self._candidates == self._candidates[:, None]).astype(float),
            levels == np.arange(highest)[:, None],
        )
        smooth = [name for name in names if name in self._smooth_names]
        self._mean = float(targets.mean())
        self._scale = float(targets.std()) or 1.0
        y = (targets - self._mean) / self._scale
        self._centre = {name: x.mean(0) for name, x in blocks.items()}
        centred = {name: x - self._centre[name] for name, x in blocks.items()}
        unit = {
            name: 1.0 / np.sqrt(max(float(np.square(x).sum(1).mean()), 1e-12)) for name, x in centred.items()
        }
        prior = _prior(len(names), len(smooth), highest)
        if self.parameters is None or len(self.parameters) != len(prior):
            self.parameters = prior.copy()
        if learn:
            scaled = {name: x * unit[name] for name, x in centred.items()}
            bounds = [(p - 7.0, p + 7.0) for p in prior]
            bounds[-self._fidelities :] = [(np.log(NOISE_FLOOR), np.log(1.0))] * self._fidelities
            found = minimize(
                _negative_log_posterior,
                self.parameters,
                args=(
                    np.stack([scaled[name] @ scaled[name].T for name in names]),
                    np.array([_distances(scaled[name], scaled[name]) for name in smooth]).reshape(
                        len(smooth), len(y), len(y)
                    ),
                    fidelity,
                    y,
                    prior,
                ),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 40},
            )
            self.parameters = found.x
        v, self._amplitude, w, scales, self._extra, self._noise = _split(self.parameters, len(names), highest)
        self._linear = {name: unit[name] * np.sqrt(v[i]) for i, name in enumerate(names)}
        self._smooth = {name: unit[name] * np.sqrt(w[i]) for i, name in enumerate(smooth)}
        self._data = self._project(blocks)
        kernel = self._kernel(self._data, self._data) + self._noise * fidelity.same
        kernel, multiples = fidelity.observed(kernel, scales, self._extra)
        factor = cho_factor(kernel, lower=True)
        # From here on about the function itself, of which the observations are multiples.
        self._alpha = multiples * cho_solve(factor, y)
        # Many small predictions follow: multiplying by the inverse takes half as long as solving.
        self._inverse = multiples * solve_triangular(factor[0], np.eye(len(y)), lower=True)
        self._spread = self._scale * self._calibration()
        return self

    def _calibration(self) -> float:
        """Root mean square of the latest observations' standardised leave-one-out residuals (in closed form),
        shrunk towards 1. The likelihood calibrates the average observation; the latest ones, which the search
        chose, are closer to what it will choose next."""
        precision = np.square(self._inverse).sum(0)
        missed = np.square(self._alpha[-NEWEST:]) / precision[-NEWEST:]
        return float(np.sqrt((SHRINKAGE + missed.sum()) / (SHRINKAGE + len(missed))))

    def mean_and_std(self, blocks: Blocks) -> tuple[Vector, Vector]:
        """(n,) means and (n,) standard deviations of the function without noise."""
        x = self._project(blocks)
        cross = self._kernel(x, self._data)
        own = self._amplitude + np.square(x[0]).sum(1)
        variance = np.maximum(own - np.square(cross @ self._inverse.T).sum(1), 0.0)
        return self._mean + self._scale * (cross @ self._alpha), self._spread * np.sqrt(variance)

    @property
    def noise_std(self) -> float:
        """Standard deviation of what the features do not explain of a candidate, at full fidelity."""
        return float(self._spread * np.sqrt(self._noise))

    def mean(self, blocks: Blocks) -> Vector:
        """(n,) means alone: a single weighted sum if no block is smooth."""
        linear, smooth = self._project(blocks)
        weights = self._data[0].T @ self._alpha
        if self._smooth:
            rest = self._amplitude * np.exp(-0.5 * _distances(smooth, self._data[1])) @ self._alpha
        else:
            rest = self._amplitude * self._alpha.sum()
        return self._mean + self._scale * (linear @ weights + rest)

    def posterior(self, blocks: Blocks, candidates: Integers | None = None) -> JointPosterior:
        """The joint posterior of n candidates; takes time and memory quadratic in n.

        Args:
            candidates: (n,) their numbers in `fit`, -1 for those never observed. Of those observed, what
                features do not explain is partly known, and included.
        """
        x = self._project(blocks)
        cross, own = self._kernel(x, self._data), self._kernel(x, x)
        observed = np.zeros(len(own), bool) if candidates is None else candidates >= 0
        if candidates is not None:
            cross += self._noise * (candidates[:, None] == self._candidates)
            own[np.diag_indices_from(own)] += self._noise * observed
        half = cross @ self._inverse.T
        return JointPosterior(
            self._mean + self._scale * (cross @ self._alpha),
            self._spread**2 * (own - half @ half.T),
            np.where(observed, 0.0, self._spread**2 * self._noise),
            self._spread**2 * np.append(self._extra, 0.0),
        )

    def _project(self, blocks: Blocks) -> tuple[Matrix, Matrix]:
        """Features scaled so that the two kernels are plain inner products and distances."""
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


@dataclass(frozen=True)
class _Fidelity:
    """How n observations relate to the function.

    Attributes:
        same: (n, n) 1 where two are of the same candidate, else 0.
        lower: (fidelities - 1, n) which are of each fidelity, the highest left out.
    """

    same: Matrix
    lower: NDArray[np.bool_]

    def observed(self, function: Matrix, scales: Vector, extra: Vector) -> tuple[Matrix, Vector]:
        """(n, n) covariance of the observations, given that of the function, and the (n,) multiples of the
        function that they observe."""
        multiples = np.ones(len(function))
        for level, scale in zip(self.lower, scales, strict=True):
            multiples[level] = scale
        covariance = function * multiples * multiples[:, None]
        for level, variance in zip(self.lower, extra, strict=True):
            covariance[np.ix_(level, level)] += OFFSET
            covariance[np.diag_indices_from(covariance)] += variance * level
        return covariance, multiples


def _prior(blocks: int, smooth: int, lower: int) -> Vector:
    """Prior means of the logarithms of v, s, w, the scales, the extra noises and the noise: equal shares of
    the variance, a length scale near the typical distance (√2 for each block), scales of 1, noise of 1%."""
    v = np.full(blocks, np.log(0.5 / blocks))
    w = np.full(smooth, np.log(0.5 / max(smooth, 1)))
    return np.concatenate([v, [np.log(0.5)], w, np.zeros(lower), np.full(lower + 1, np.log(1e-2))])


def _split(
    parameters: Vector, blocks: int, lower: int
) -> tuple[Vector, float, Vector, Vector, Vector, float]:
    values = np.exp(parameters)
    ends = np.cumsum([blocks, 1, len(values) - blocks - 2 - 2 * lower, lower, lower])
    v, s, w, scales, extra, noise = np.split(values, ends)
    return v, float(s[0]), w, scales, extra, float(noise[0])


def _distances(a: Matrix, b: Matrix) -> Matrix:
    """Squared Euclidean distances between rows."""
    squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * (a @ b.T)
    return np.maximum(squared, 0.0)


PRIOR_STD = 2.0
SCALE_STD = 0.3
"""Of the logarithms of scales: a cheaper evaluation estimates the same quality on other data."""


def _negative_log_posterior(
    parameters: Vector, grams: Matrix, distances: Matrix, fidelity: _Fidelity, y: Vector, prior: Vector
) -> tuple[float, Vector]:
    """Minus the log posterior density of the log parameters, up to a constant, and its gradient."""
    lower = len(fidelity.lower)
    v, s, w, scales, extra, noise = _split(parameters, len(grams), lower)
    smooth = s * np.exp(-0.5 * np.tensordot(w, distances, 1))
    function = np.tensordot(v, grams, 1) + smooth + noise * fidelity.same
    kernel, multiples = fidelity.observed(function, scales, extra)
    kernel[np.diag_indices_from(kernel)] += 1e-8
    factor = cho_factor(kernel, lower=True)
    alpha = cho_solve(factor, y)
    value = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum()
    # d value / d K: each gradient is the sum of its element-wise product with d K.
    by_kernel = 0.5 * (cho_solve(factor, np.eye(len(y))) - np.outer(alpha, alpha))
    slope = by_kernel * multiples * multiples[:, None]
    weighted = slope * smooth
    gradient = np.concatenate(
        [
            v * np.tensordot(grams, slope, 2),
            [weighted.sum()],
            -0.5 * w * np.tensordot(distances, weighted, 2),
            2.0 * fidelity.lower @ (slope * function).sum(1),
            extra * (fidelity.lower @ np.diag(by_kernel)),
            [noise * (slope * fidelity.same).sum()],
        ]
    )
    spread = np.full(len(prior), PRIOR_STD)
    spread[len(prior) - 1 - 2 * lower : len(prior) - 1 - lower] = SCALE_STD
    away = (parameters - prior) / spread
    return float(value + 0.5 * away @ away), gradient + away / spread
