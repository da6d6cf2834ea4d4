"""The predictor that cross-validation likes best, with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from predictors.errors import PredictorError
from predictors.predictor import (
    Prediction,
    Predictor,
    Vector,
    get_predictor,
    register_predictor,
    valid_measurements,
)
from searchspaces.encoding import Population

__all__ = ["Auto"]

FOLDS = 5


@register_predictor("auto")
class Auto(Predictor):
    """Fits each of its candidates on four fifths of the measurements, compares them on the whole models among
    the rest, five times over, and keeps the one of least mean relative error, refitted on everything.

    With fewer than `ENOUGH` whole models nothing is compared: the first candidate serves. A later candidate
    must be better by `MARGIN`, so that chance does not choose; without a prior `transfer` is `additive` and
    is not fitted twice.

    Attributes:
        chosen: the fitted predictor that answers.
        reason: which was chosen and why, for people.
    """

    CANDIDATES: ClassVar[tuple[str, ...]] = ("transfer", "additive", "residual")
    ENOUGH: ClassVar[int] = 10
    MARGIN: ClassVar[float] = 0.03

    learns_from_blocks = True
    chosen: Predictor | None = None
    reason: str = "not fitted"

    def fit(self, population: Population, values: Vector, errors: Vector | None = None) -> Self:
        """See `Predictor.fit`; one measurement is enough to begin with."""
        values, _ = valid_measurements(population, values, errors)
        candidates = [name for name in self.CANDIDATES if name != "transfer" or self.prior is not None]
        first, whole = candidates[0], int((~self.design.single_blocks(population)).sum())
        if whole < self.ENOUGH:
            name, self.reason = first, f"{first}: {whole} whole models are too few to compare"
        else:
            wrong = {name: self._cross_validated(name, population, values, errors) for name in candidates}
            name = first
            for other in candidates[1:]:
                if wrong[other] < (1 - self.MARGIN) * wrong[name]:
                    name = other
            listed = ", ".join(f"{other} {error:.1%}" for other, error in wrong.items())
            self.reason = f"{name}: cross-validated error on {whole} whole models: {listed}"
        self.chosen = self._make(name).fit(population, values, errors)
        return self

    def predict(self, population: Population) -> Prediction:
        """See `Predictor.predict`."""
        return self._fitted().predict(population)

    def _dump(self) -> dict[str, Any]:
        return {"chosen": self._fitted().to_state(), "reason": self.reason}

    def _load(self, state: Mapping[str, Any]) -> None:
        chosen = self._make(str(state["chosen"]["predictor"]))
        self.chosen, self.reason = chosen.load_state(state["chosen"]), str(state["reason"])

    def _make(self, name: str) -> Predictor:
        return get_predictor(name)(self.design, self.prior)

    def _fitted(self) -> Predictor:
        if self.chosen is None:
            raise PredictorError("auto was not fitted")
        return self.chosen

    def _cross_validated(
        self, name: str, population: Population, values: Vector, errors: Vector | None
    ) -> float:
        """Mean |predicted − measured| / measured over the whole models of left-out fifths."""
        fold = np.random.default_rng(0).permutation(len(values)) % FOLDS
        whole = ~self.design.single_blocks(population)
        wrong = []
        for k in range(FOLDS):
            kept, out = fold != k, whole & (fold == k)
            known = None if errors is None else errors[kept]
            predictor = self._make(name).fit(population[kept], values[kept], known)
            wrong.append(np.abs(predictor.predict(population[out]).mean / values[out] - 1))
        return float(np.concatenate(wrong).mean())
