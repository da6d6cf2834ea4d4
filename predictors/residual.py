"""What a sum of blocks misses, learned on top of it once the measurements carry it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.linalg import cho_solve, cholesky

from predictors.design import Matrix, standardisation
from predictors.errors import PredictorError
from predictors.posterior import spread_of
from predictors.predictor import Prediction, Predictor, Vector, register_predictor, valid_measurements
from predictors.transfer import Transfer
from searchspaces.encoding import Population

__all__ = ["Residual"]

ENOUGH = 20
"""Measurements of whole models below which no residual is looked for."""
EVIDENCE = 3.0
"""By how much the log marginal likelihood must grow before a residual is believed (Kass & Raftery, 1995:
"positive" evidence is 1 to 3)."""
MOST = 512
"""Measurements that the process remembers: the latest, so that prediction stays fast."""
_REACHES = np.geomspace(0.5, 8.0, 6)
_SIZES = np.geomspace(0.25, 4.0, 6)


@dataclass(frozen=True)
class _Process:
    """A Gaussian process (Rasmussen & Williams, 2006) over standardised features, of relative errors.

    Attributes:
        features: (m, features) of remembered measurements, standardised.
        centre, scale: (features,) that standardise.
        weight: (m,) of each remembered measurement.
        root: (m, m) lower Cholesky factor of the covariance of errors.
        reach: length scale. size: prior standard deviation. noise: of one relative error.
        spread: see `predictors.posterior.Posterior`.
    """

    features: Matrix
    centre: Vector
    scale: Vector
    weight: Vector
    root: Matrix
    reach: float
    size: float
    noise: float
    spread: float

    def predict(self, features: Matrix) -> tuple[Vector, Vector]:
        """(n,) mean and variance of relative errors."""
        cross = _kernel((features - self.centre) / self.scale, self.features, self.reach, self.size)
        half = np.linalg.solve(self.root, cross.T)
        return cross @ self.weight, np.maximum(self.size**2 - (half**2).sum(0), 0.0)


_ARRAYS = ("features", "centre", "scale", "weight", "root")
_NUMBERS = ("reach", "size", "noise", "spread")


@register_predictor("residual")
class Residual(Predictor):
    """`transfer`, times one plus a Gaussian process on plain features.

    The process is kept only where the measurements are more likely with it than without; until then this
    predictor is `transfer`.
    """

    learns_from_blocks = True
    process: _Process | None = None

    def fit(self, population: Population, values: Vector, errors: Vector | None = None) -> Self:
        """See `Predictor.fit`; one measurement is enough to begin with."""
        self.base = Transfer(self.design, self.prior).fit(population, values, errors)
        self.process = None
        # What a sum of blocks misses in whole models.
        recent = np.flatnonzero(~self.design.single_blocks(population))[-MOST:]
        if len(recent) >= ENOUGH:
            values, _ = valid_measurements(population, values)
            error = values[recent] / self.base.predict(population[recent]).mean - 1
            self.process = _believed(self.design.flat(population[recent]), error)
        return self

    def predict(self, population: Population) -> Prediction:
        """See `Predictor.predict`."""
        base = self._fitted()
        if self.process is None:
            return base.predict(population)
        counts = self.design.counts(population)
        posterior = base.fitted_posterior
        mean, _ = posterior.predict(counts)
        variance = ((counts @ posterior.covariance) * counts).sum(1)
        error, doubt = self.process.predict(self.design.flat(population))
        # An error of the whole time is no residual of a sum: far from all measurements it stays within ±50%.
        corrected = mean * (1 + np.clip(error, -0.5, 0.5))
        own = replace(posterior, noise=self.process.noise, spread=self.process.spread)
        deviation = own.deviation(mean, variance + doubt * mean**2)
        return Prediction(base.unit * corrected, base.unit * deviation)

    def _dump(self) -> dict[str, Any]:
        state: dict[str, Any] = {"base": self._fitted().to_state(), "process": None}
        if self.process is not None:
            kept = vars(self.process)
            state["process"] = {name: kept[name].tolist() for name in _ARRAYS} | {
                name: kept[name] for name in _NUMBERS
            }
        return state

    def _load(self, state: Mapping[str, Any]) -> None:
        self.base = Transfer(self.design).load_state(state["base"])
        self.process = None
        if state["process"] is not None:
            kept = state["process"]
            arrays: dict[str, Any] = {name: np.asarray(kept[name], float) for name in _ARRAYS}
            numbers: dict[str, Any] = {name: float(kept[name]) for name in _NUMBERS}
            self.process = _Process(**arrays, **numbers)

    def _fitted(self) -> Transfer:
        if not hasattr(self, "base"):
            raise PredictorError("residual was not fitted")
        return self.base


def _kernel(left: Matrix, right: Matrix, reach: float, size: float) -> Matrix:
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2 * left @ right.T
    return np.asarray(size**2 * np.exp(-np.maximum(squares, 0.0) / (2 * reach**2 * left.shape[1])))


def _believed(features: Matrix, error: Vector) -> _Process | None:
    """The most likely process, or None where errors are as likely without any."""
    centre, scale = standardisation(features)
    x = (features - centre) / scale
    # Outliers of the sum are not for the process to follow.
    usual = 1.4826 * float(np.median(np.abs(error - np.median(error)))) + 1e-6
    error = np.clip(error, -4 * usual, 4 * usual)
    total = float(np.sqrt(np.mean(error**2))) + 1e-9
    n = len(error)
    alone = -0.5 * n - n * np.log(total)
    best: tuple[float, float, float, float] | None = None
    for reach in _REACHES:
        shape = _kernel(x, x, float(reach), 1.0)
        values, vectors = np.linalg.eigh(shape)
        seen = (vectors.T @ error) ** 2
        for size in _SIZES:
            for noise in (0.2, 0.35, 0.5, 0.7, 0.85, 1.0):
                variance = total**2 * (size**2 * np.maximum(values, 0.0) + noise**2)
                score = -0.5 * float((seen / variance + np.log(variance)).sum())
                if best is None or score > best[0]:
                    best = score, float(reach), float(size * total), float(noise * total)
    if best is None or best[0] - alone < EVIDENCE:
        return None
    _, reach, size, noise = best
    covariance = _kernel(x, x, reach, size) + noise**2 * np.eye(n)
    root = cholesky(covariance, lower=True)
    inverse = cho_solve((root, True), np.eye(n))
    weight = inverse @ error
    left_out = weight / np.sqrt(np.diag(inverse))
    return _Process(x, centre, scale, weight, root, reach, size, noise, spread_of(left_out))
