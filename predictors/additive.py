"""Latency as a sum of blocks: the predictor that serves from a handful of measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from predictors.errors import PredictorError
from predictors.posterior import Posterior, averaged_posterior
from predictors.predictor import (
    Prediction,
    Predictor,
    Vector,
    register_predictor,
    unit_of,
    valid_measurements,
)
from predictors.prior import Prior, counted_prior
from searchspaces.encoding import Population

__all__ = ["Additive"]


@register_predictor("additive")
class Additive(Predictor):
    """A non-negative cost for each kind of block, each drawn to what its counted work suggests.

    Bayesian linear regression with relative errors: a block that was measured often costs what was
    measured, one that was never measured what its operations, its family and this device's speed make
    likely. How far operations can be believed is learned as well: on some devices layers of one family cost
    twenty times those of another with as many. What other devices taught is not used; see `transfer`.
    """

    learns_from_blocks = True
    posterior: Posterior | None = None
    unit: float = 1.0

    @property
    def priors(self) -> Sequence[Prior]:
        """What may be believed before the first measurement, each as far as measurements bear it out."""
        counted = counted_prior(self.design)
        return [counted, counted.by_families(self.design)]

    def fit(self, population: Population, values: Vector, errors: Vector | None = None) -> Self:
        """See `Predictor.fit`; one measurement is enough to begin with."""
        values, relative = valid_measurements(population, values, errors)
        counts = self.design.counts(population)
        single = self.design.single_blocks(population)
        self.unit = unit_of(values)
        self.posterior = averaged_posterior(counts, values / self.unit, self.priors, relative, single)
        return self

    def predict(self, population: Population) -> Prediction:
        """See `Predictor.predict`."""
        mean, std = self.fitted_posterior.predict(self.design.counts(population))
        return Prediction(self.unit * mean, self.unit * std)

    def _dump(self) -> dict[str, Any]:
        return {**self.fitted_posterior.to_dict(), "unit": self.unit}

    def _load(self, state: Mapping[str, Any]) -> None:
        self.posterior, self.unit = Posterior.from_dict(state), float(state.get("unit", 1.0))

    @property
    def fitted_posterior(self) -> Posterior:
        """The coefficients that were learned, in `unit`.

        Raises:
            PredictorError: nothing was learned yet.
        """
        if self.posterior is None:
            raise PredictorError(f"{self.name} was not fitted")
        return self.posterior
