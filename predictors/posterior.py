"""Bayesian linear regression of latencies on counted terms, with relative errors, in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, cholesky, solve_triangular
from scipy.optimize import nnls
from scipy.special import logsumexp, ndtri, softmax, stdtrit

from predictors.design import Matrix
from predictors.prior import Prior

__all__ = ["SINGLE_DOUBT", "TAIL", "Mask", "Posterior", "averaged_posterior", "fit_posterior", "spread_of"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

# How far the prior may be trusted and how large a measurement's relative error is: the pair with the
# largest marginal likelihood is taken.
TRUST = np.geomspace(0.25, 8.0, 11)
NOISE = np.geomspace(0.002, 0.15, 14)
TRUST_DOUBT, NOISE_DOUBT = 0.5, 1.5
"""Standard deviations of their logarithms beforehand."""
ROUNDS = 4
DEGREES = 4.0
"""Of freedom of the Student t that measurement errors follow: outliers lose weight instead of ruling."""
LEAST_CURVATURE = 0.2
CLEAN = 0.01
"""Relative standard error of a measurement that counts half."""
SINGLE_DOUBT = 0.1
"""Relative standard deviation, beforehand, of what blocks take alone from what they take in whole models."""
COVERED = 0.9
NORMAL_90 = 1.6448536269514722
TAIL = float(stdtrit(DEGREES, 0.5 + COVERED / 2)) / NORMAL_90
"""The normal standard deviation that covers 90% as a Student t of scale 1 does."""
DECIDED = 2
"""Numbers, trust and noise, in whose choice a left-out measurement still had its say."""
LEAST = 1e-9
"""Of what a usual model takes, what any takes at least, whatever contradictory measurements say."""
ROUNDING = 1e-13
"""Of a precision's largest entry: what all its directions have at least, however numbers are rounded."""
PSEUDO = 12
"""Imagined, perfectly normal residuals among which a few real ones are calibrated."""


@dataclass(frozen=True)
class Posterior:
    """Coefficients of one device.

    Attributes:
        mean: (terms,) ms a unit of each term, ≥ 0.
        covariance: (terms, terms), ms².
        noise: relative standard deviation of one measurement, of the normal that covers 90% as they do.
        told: relative standard error that a usual measurement is known to have, by what sessions differ by;
            residuals of one session do not show it, and the next measurement is of another. 0 where unknown.
        spread: factor on standard deviations that makes ±1.645 of them cover 90% of left-out
            measurements of whole models.
        residuals: (n,) relative leave-one-out errors of the measurements that it learned from.
        deviations: (n,) the standard deviations that they were expected to have.
        evidence: log marginal likelihood of the measurements, up to a constant that all priors share.
    """

    mean: Vector
    covariance: Matrix
    noise: float
    spread: float
    residuals: Vector
    deviations: Vector
    evidence: float
    told: float = 0.0

    def predict(self, counts: Matrix) -> tuple[Vector, Vector]:
        """(n,) mean, above 0, and standard deviation of a new measurement, ms."""
        mean = np.maximum(counts @ self.mean, LEAST)
        return mean, self.deviation(mean, ((counts @ self.covariance) * counts).sum(1))

    def deviation(self, mean: Vector, variance: Vector) -> Vector:
        """(n,) standard deviation of a new measurement, ms, by (n,) mean and variance of what is expected."""
        single = max(self.spread * self.noise, self.told)
        return np.sqrt(self.spread**2 * variance + (single * mean) ** 2)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "mean": self.mean.tolist(),
            "covariance": self.covariance.tolist(),
            "noise": self.noise,
            "spread": self.spread,
            "residuals": self.residuals.tolist(),
            "deviations": self.deviations.tolist(),
            "evidence": self.evidence,
            "told": self.told,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(
            np.asarray(data["mean"], float),
            np.asarray(data["covariance"], float),
            float(data["noise"]),
            float(data["spread"]),
            np.asarray(data["residuals"], float),
            np.asarray(data["deviations"], float),
            float(data["evidence"]),
            float(data.get("told", 0.0)),  # earlier versions did not keep it
        )


def averaged_posterior(
    counts: Matrix,
    latency_ms: Vector,
    priors: Sequence[Prior],
    relative_error: Vector | None = None,
    single: Mask | None = None,
) -> Posterior:
    """`fit_posterior` under every prior, averaged by how likely each makes the measurements times its odds
    (Bayesian model averaging; Hoeting et al., 1999), as one Gaussian with the mixture's mean and covariance.

    So a few measurements do not decide alone which prior to believe, and where priors disagree, intervals
    say so.
    """
    fits = [fit_posterior(counts, latency_ms, prior, relative_error, single) for prior in priors]
    odds = np.log([prior.odds for prior in priors])
    likely = np.array([fit.evidence for fit in fits]) + odds
    weight = softmax(likely)

    def average(values: Sequence[Any]) -> Any:
        return np.tensordot(weight, np.asarray(values), 1)

    mean, residuals = average([fit.mean for fit in fits]), average([fit.residuals for fit in fits])
    apart = np.array([fit.mean - mean for fit in fits])
    variance = average([fit.deviations**2 + (fit.residuals - residuals) ** 2 for fit in fits])
    return Posterior(
        mean,
        average([fit.covariance for fit in fits]) + (apart.T * weight) @ apart,
        float(np.sqrt(average([fit.noise**2 for fit in fits]))),
        float(average([fit.spread for fit in fits])),
        residuals,
        np.sqrt(variance),
        float(logsumexp(likely) - logsumexp(odds)),
        fits[0].told,
    )


def fit_posterior(
    counts: Matrix,
    latency_ms: Vector,
    prior: Prior,
    relative_error: Vector | None = None,
    single: Mask | None = None,
) -> Posterior:
    """Learn one device's coefficients, and by which factor single blocks take longer than in whole models.

    Args:
        counts: (n, terms).
        latency_ms: (n,) > 0.
        prior: over the terms, up to scale.
        relative_error: (n,) known relative standard errors; those over `CLEAN` count less.
        single: (n,) which are single blocks, see `predictors.design.Design.single_blocks`; none where None.
    """
    scale = float(np.exp(np.median(np.log(latency_ms / (counts @ prior.mean)))))
    whole = np.ones(len(latency_ms), bool) if single is None else ~single
    apart = (~whole).astype(float)
    # One more coefficient, the factor of single blocks.
    mean = np.append(scale * prior.mean, 1.0)
    factor = block_diag(scale * cholesky(prior.covariance, lower=True), SINGLE_DOUBT)
    trusted, told = np.ones(len(latency_ms)), 0.0
    if relative_error is not None:
        told = float(np.median(relative_error))
        trusted = 1 / (1 + (relative_error / CLEAN) ** 2)
        # The noise is a usual measurement's: errors that are all alike tell nothing.
        trusted = trusted / trusted.mean()
    guess, weight = latency_ms, trusted
    for _ in range(ROUNDS):
        # Errors are relative: rows are divided by what is predicted for them, not by what was measured,
        # or a slow outlier would count less than a fast one.
        # To first order in the factor, a single block takes its terms and (factor − 1) × what is predicted.
        rows = np.column_stack([counts / guess[:, None], apart])
        target = latency_ms / guess + apart
        whitened = _Whitened(rows @ factor, target - rows @ mean, weight)
        trust, noise, score = whitened.most_likely(prior.noise / TAIL)
        # As a density of latencies: rows were divided by guesses, and scaled by weights.
        evidence = score + 0.5 * float(np.log(weight).sum()) - float(np.log(guess).sum())
        step, precision = whitened.solve(trust, noise)
        coefficients = _non_negative(mean + factor @ step, precision, factor)
        guess = np.maximum(guess * (rows @ coefficients - apart), 1e-3 * latency_ms)
        residual = latency_ms / guess - 1.0
        weight = trusted * (DEGREES + 1) / (DEGREES + trusted * (residual / noise) ** 2)
    # The curvature of the Student t's likelihood, on average, is less than its weights: leaving a measurement
    # out moves the rest more than they alone would tell (El Karoui et al., 2013).
    squared = trusted * (residual / noise) ** 2
    curvature = trusted * (DEGREES + 1) * (DEGREES - squared) / (DEGREES + squared) ** 2
    curvature = trusted * max(float(curvature.sum() / trusted.sum()), LEAST_CURVATURE)
    causes = rows @ factor
    precision = np.eye(len(mean)) / trust**2 + (causes.T * (curvature / noise**2)) @ causes
    covariance = factor @ np.linalg.solve(precision, factor.T)
    variance = ((rows @ covariance) * rows).sum(1)
    without = variance / np.maximum(1 - curvature * variance / noise**2, 1e-3)
    left_out = residual * (1 + weight * without / noise**2)
    usual = TAIL * noise
    # One that is known to be bad is expected to be off by more, and calibrates as such.
    deviation = np.sqrt(usual**2 / trusted + without)
    n = len(latency_ms)
    optimism = np.sqrt(n / max(n - DECIDED, 1))
    spread = spread_of((optimism * left_out / deviation)[whole], prior.spread)
    terms = len(prior.mean)
    return Posterior(
        coefficients[:terms], covariance[:terms, :terms], usual, spread, left_out, deviation, evidence, told
    )


class _Whitened:
    """Regression of errors on unit-normal causes, decomposed once for every trust and noise.

    Args:
        causes: (n, terms) what one unit of each cause adds to a row.
        errors: (n,) relative errors of the prior's mean.
        weight: (n,) how much a row counts.
    """

    def __init__(self, causes: Matrix, errors: Vector, weight: Vector) -> None:
        root = np.sqrt(weight)
        self._errors = root * errors
        self._left, self._size, self._right = np.linalg.svd(root[:, None] * causes, full_matrices=False)
        self._seen = self._left.T @ self._errors

    def most_likely(self, guess: float) -> tuple[float, float, float]:
        """The pair of TRUST × NOISE with the largest marginal likelihood, drawn to a trust of 1 and the
        guessed noise: one sample, which set the scale and so has no error, decides nothing. Last comes the
        logarithm of the marginal likelihood over all pairs."""
        trust, noise = TRUST[:, None, None], NOISE[None, :, None]
        variance = trust**2 * self._size**2 + noise**2
        unseen = max(float(self._errors @ self._errors - self._seen @ self._seen), 0.0)
        score = -0.5 * (self._seen**2 / variance + np.log(variance)).sum(2)
        score -= 0.5 * unseen / NOISE**2 + (len(self._errors) - len(self._size)) * np.log(NOISE)
        doubt = 0.5 * (np.log(TRUST[:, None]) / TRUST_DOUBT) ** 2
        doubt = doubt + 0.5 * (np.log(NOISE / guess) / NOISE_DOUBT) ** 2
        score -= doubt
        best = np.unravel_index(int(np.argmax(score)), score.shape)
        return float(TRUST[best[0]]), float(NOISE[best[1]]), float(logsumexp(score) - logsumexp(-doubt))

    def solve(self, trust: float, noise: float) -> tuple[Vector, Matrix]:
        """(terms,) expected causes and their (terms, terms) precision."""
        gain = trust**2 * self._size / (trust**2 * self._size**2 + noise**2)
        right = self._right
        precision = np.eye(right.shape[1]) / trust**2 + (right.T * (self._size / noise) ** 2) @ right
        return right.T @ (gain * self._seen), precision


def spread_of(standardised: Vector, guess: float = 1.0) -> float:
    """The factor by which standard deviations must grow for ±1.645 of them to cover 90% of errors.

    Split-conformal (Vovk et al., 2005) on left-out errors, among `PSEUDO` normal ones of the guessed spread,
    so that five measurements do not decide alone.
    """
    imagined = guess * np.abs(ndtri((np.arange(PSEUDO) + 0.5) / PSEUDO))
    scores = np.concatenate([np.abs(standardised), imagined])
    return float(np.quantile(scores, COVERED, method="weibull")) / NORMAL_90


def _non_negative(centre: Vector, precision: Matrix, factor: Matrix) -> Vector:
    """The most likely coefficients ≥ 0 of a Gaussian with this mean, whose causes (coefficients are
    ``factor @ causes``) have this precision."""
    if (centre >= 0).all():
        return centre
    precision = precision + ROUNDING * precision.diagonal().max() * np.eye(len(precision))
    root = solve_triangular(factor.T, cholesky(precision, lower=True), lower=False).T
    size = np.linalg.norm(root, axis=0)
    solution, _ = nnls(root / size, root @ centre, maxiter=30 * len(centre))
    return np.asarray(solution / size, float)
