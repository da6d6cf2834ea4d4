"""A device that is slower for a while: stretches of measurements, found and divided out.

Latencies are compared with what their architectures should take, so a ratio of 1.22 over fifty measurements
in a row is a device 22% slower, not fifty slow architectures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from predictors.design import Matrix
from predictors.posterior import averaged_posterior, spread_of
from predictors.prior import Prior

__all__ = ["Drift", "Stretch", "drift_of", "find_stretches"]

Vector = NDArray[np.float64]

SHORTEST = 3
"""Measurements that a stretch has at least: fewer are outliers, which robust weights deal with."""
ALTERNATIONS = 8
FOLDS = 5
"""Parts of the measurements that are left out in turn to learn how well stretches are known."""
SMALLEST = 0.03
"""A change of speed below this is left to the noise."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Measurements start, …, stop − 1 in measured order, all taken at one speed of the device.

    Attributes:
        factor: how much slower than usual; 1 in the stretch with the most measurements.
    """

    start: int
    stop: int
    factor: float

    @property
    def shifted(self) -> bool:
        """Whether its measurements are worth taking again."""
        return abs(self.factor - 1) > SMALLEST


def find_stretches(ratio: Vector) -> list[Stretch]:
    """Cut measurements into stretches of one speed each.

    Optimal partitioning (Jackson et al., 2005) of log ratios under squared errors, with the noise estimated
    from differences of neighbours, which shifts barely touch.

    Args:
        ratio: (n,) measured over expected latency, in measured order.
    """
    n = len(ratio)
    if n < 2 * SHORTEST:
        return [Stretch(0, n, 1.0)] if n else []
    log = np.log(ratio)
    noise = max(float(np.median(np.abs(np.diff(log)))) / 0.954, 0.005)
    # One outlier, or two, shall not pay for a stretch; a running median keeps the edges of those that last.
    log = median_filter(log, 2 * SHORTEST - 1, mode="nearest")
    total = np.concatenate([[0.0], np.cumsum(log)])
    squares = np.concatenate([[0.0], np.cumsum(log**2)])
    penalty = 3 * np.log(n)
    best = np.full(n + 1, np.inf)
    best[0] = -penalty
    before = np.zeros(n + 1, np.int64)
    for stop in range(SHORTEST, n + 1):
        start = np.arange(0, stop - SHORTEST + 1)
        size = stop - start
        error = squares[stop] - squares[start] - (total[stop] - total[start]) ** 2 / size
        score = best[start] + error / (2 * noise**2) + penalty
        before[stop] = int(np.argmin(score))
        best[stop] = score[before[stop]]
    cuts = [n]
    while cuts[-1] > 0:
        cuts.append(int(before[cuts[-1]]))
    edges = cuts[::-1]
    pieces = list(pairwise(edges))
    levels = [float(np.median(log[a:b])) for a, b in pieces]
    usual = levels[int(np.argmax([b - a for a, b in pieces]))]
    return [Stretch(a, b, float(np.exp(x - usual))) for (a, b), x in zip(pieces, levels, strict=True)]


@dataclass(frozen=True)
class Drift:
    """How fast a device was while it was measured.

    Attributes:
        position: (n,) ascending places of the measurements in measured order.
        stretches: of those measurements.
        widening: factor on standard deviations for not knowing exactly where stretches end and how slow
            they are, from measurements that stretches were found without.
    """

    position: Vector
    stretches: tuple[Stretch, ...]
    widening: float

    @property
    def factors(self) -> Vector:
        """(n,) of the measurements themselves."""
        return _factors(self.stretches)

    @property
    def shifts(self) -> tuple[Stretch, ...]:
        """Stretches of another speed than the usual: what to report, and to measure again."""
        return tuple(stretch for stretch in self.stretches if stretch.shifted)

    def factors_at(self, position: Vector) -> Vector:
        """(m,) at other places in measured order: those of the nearest measurement."""
        factors: Vector = self.factors[_nearest(self.position, position)]
        return factors


def drift_of(counts: Matrix, latency_ms: Vector, position: Vector, priors: Sequence[Prior]) -> Drift:
    """Stretches of measurements, found together with what they should take.

    Alternates between the coefficients given the drift and the drift given the coefficients, always comparing
    a measurement with the others.

    Args:
        counts: (n, terms), in measured order.
        latency_ms: (n,) as measured.
        position: (n,) ascending.
        priors: over the terms; averaged as the measurements bear them out.
    """
    factor = np.ones(len(latency_ms))
    for _ in range(ALTERNATIONS):
        fitted = averaged_posterior(counts, latency_ms / factor, priors)
        stretches = find_stretches(np.maximum(1 + fitted.residuals, 0.1) * factor)
        before, factor = factor, _factors(stretches)
        if np.allclose(before, factor, rtol=1e-3):
            break
    deviations = fitted.deviations
    ratio = np.maximum(1 + fitted.residuals, 0.1) * factor
    elsewhere = ratio / _left_out_factors(position, ratio, factor) - 1
    widening = spread_of(elsewhere / deviations) / spread_of(fitted.residuals / deviations)
    return Drift(position, tuple(stretches), max(1.0, widening))


def _left_out_factors(position: Vector, ratio: Vector, factor: Vector) -> Vector:
    """(n,) factors at measurements that stretches were found without, a fifth of them at a time: as any
    unmeasured place has them."""
    n = len(ratio)
    if n < 2 * FOLDS:
        return factor
    found = np.empty(n)
    fold = np.arange(n) % FOLDS
    for k in range(FOLDS):
        kept = fold != k
        known = _factors(find_stretches(ratio[kept]))
        known = known * np.exp(np.median(np.log(factor[kept] / known)))  # another stretch may be the longest
        found[~kept] = known[_nearest(position[kept], position[~kept])]
    return found


def _factors(stretches: Sequence[Stretch]) -> Vector:
    return np.concatenate([np.full(s.stop - s.start, s.factor) for s in stretches])


def _nearest(known: Vector, position: Vector) -> NDArray[np.int64]:
    """(m,) index of the nearest of (n,) ascending positions."""
    right = np.clip(np.searchsorted(known, position), 1, max(len(known) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(known) - 1)
    return np.where(position - known[left] <= known[right] - position, left, right)
