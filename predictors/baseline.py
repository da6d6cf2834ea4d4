"""What the baselines share: a point estimate, and a relative spread from cross-validation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from predictors.errors import PredictorError
from predictors.posterior import spread_of
from predictors.predictor import FARTHEST, Prediction, Predictor, Vector, unit_of, valid_measurements
from searchspaces.encoding import Population

__all__ = ["Baseline"]

FOLDS = 4
UNKNOWN = 0.3
"""Relative standard deviation where there are too few measurements to cross-validate."""


class Baseline(Predictor):
    """A predictor without a model of its own uncertainty: one relative spread serves every architecture.

    Attributes:
        at_least: fewest measurements that it can learn from.
        unit: of what `_learn` is given and `_expected` gives, in that of the measurements.
    """

    at_least: ClassVar[int] = 1
    spread: float | None = None
    unit: float = 1.0

    def fit(self, population: Population, values: Vector, errors: Vector | None = None) -> Self:
        """See `Predictor.fit`; errors of measurements are left aside."""
        values, _ = valid_measurements(population, values, errors, self.at_least)
        self.unit = unit_of(values)
        values = values / self.unit
        if len(values) >= FOLDS * 2 and len(values) * (FOLDS - 1) // FOLDS >= self.at_least:
            error = self._left_out_errors(population, values)
            scale = max(float(np.sqrt(np.mean(np.minimum(error**2, 1.0)))), 1e-4)
            self.spread = min(scale * spread_of(error / scale), FARTHEST)
        else:
            self.spread = UNKNOWN
        self._learn(population, values)
        return self

    def predict(self, population: Population) -> Prediction:
        """See `Predictor.predict`."""
        if self.spread is None:
            raise PredictorError(f"{self.name} was not fitted")
        mean = self.unit * self._bounded(population)
        return Prediction(mean, self.spread * mean)

    def _left_out_errors(self, population: Population, values: Vector) -> Vector:
        """(n,) relative errors on the quarter that was left out."""
        fold = np.random.default_rng(0).permutation(len(values)) % FOLDS
        error = np.empty(len(values))
        for k in range(FOLDS):
            kept, out = fold != k, fold == k
            self._learn(population[kept], values[kept])
            error[out] = self._bounded(population[out]) / values[out] - 1
        return error

    def _bounded(self, population: Population) -> Vector:
        """(n,) what is expected, no farther from the measurements' middle than a measurement may be: what
        extrapolates exponentially would overflow."""
        with np.errstate(over="ignore"):
            return np.clip(self._expected(population), 1 / FARTHEST, FARTHEST)

    def _dump(self) -> dict[str, Any]:
        if self.spread is None:
            raise PredictorError(f"{self.name} was not fitted")
        return {"spread": self.spread, "unit": self.unit, **self._dump_learned()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._load_learned(state)
        self.spread, self.unit = float(state["spread"]), float(state.get("unit", 1.0))

    @abstractmethod
    def _learn(self, population: Population, values: Vector) -> None: ...

    @abstractmethod
    def _expected(self, population: Population) -> Vector:
        """(n,) above 0, in the unit of what was learned."""

    @abstractmethod
    def _dump_learned(self) -> dict[str, Any]: ...

    @abstractmethod
    def _load_learned(self, state: Mapping[str, Any]) -> None: ...
