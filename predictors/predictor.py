"""The interface of a predictor of what devices measure, on encoded populations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from predictors.design import Design
from predictors.errors import PredictorError
from predictors.prior import Prior
from searchspaces.encoding import Population
from searchspaces.registry import Registry

__all__ = [
    "PREDICTORS",
    "Prediction",
    "Predictor",
    "get_predictor",
    "predictors",
    "register_predictor",
    "unit_of",
    "valid_measurements",
]

Vector = NDArray[np.float64]

SCHEMA = 1
"""Version of the stored form of every predictor."""

FARTHEST = 1e3
"""Times the median. No two models of a space are farther apart on one target: what is said to be counts as so
far, so that a single absurd number leaves every fit a number."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is expected of a population, in the unit of what the predictor was fitted to.

    Attributes:
        mean: (n,) > 0.
        std: (n,) standard deviation of a new measurement about it, calibrated where it matters: 90%
            of new measurements lie within ±1.645 of it.
    """

    mean: Vector
    std: Vector


class Predictor(ABC):
    """A positive quantity of the architectures of one space on one target: latency, unless it says otherwise.

    Implementations are built by `predictors.make_predictor` and stored as plain data. Registering
    one enrols it in `tests/predictors/test_predictor_contract.py`.

    Args:
        design: how populations are described.
        prior: what other devices taught; None where there are none. Predictors that cannot use one
            leave it aside.

    Attributes:
        learns_from_blocks: whether single blocks (`SearchSpace.with_single_blocks`) teach it about whole
            models. Others are given whole models only.
    """

    name: ClassVar[str]
    learns_from_blocks: ClassVar[bool] = False

    def __init__(self, design: Design, prior: Prior | None = None) -> None:
        self.design = design
        self.prior = prior

    @abstractmethod
    def fit(self, population: Population, values: Vector, errors: Vector | None = None) -> Self:
        """Learn from measurements: (n, genes), (n,) in any one unit, optionally their (n,) standard errors.

        Raises:
            PredictorError: a value is not a finite number above 0, lengths differ, or there are fewer
                measurements than this predictor needs.
        """

    @abstractmethod
    def predict(self, population: Population) -> Prediction:
        """Predict (n, genes) candidates, ≥ 100,000 a second on one core."""

    def to_state(self) -> dict[str, Any]:
        """The fitted predictor as plain JSON data, with its name and the version of its form.

        Raises:
            PredictorError: it was not fitted.
        """
        return {"predictor": self.name, "schema": SCHEMA, "terms": list(self.design.names), **self._dump()}

    def load_state(self, state: Mapping[str, Any]) -> Self:
        """Take over a state; returns self.

        Raises:
            PredictorError: the state is of another predictor, version or design, or is damaged.
        """
        for key, accepted in (
            ("predictor", self.name),
            ("schema", SCHEMA),
            ("terms", list(self.design.names)),
        ):
            if state.get(key) != accepted:
                raise PredictorError(
                    f"{key} of the state is {state.get(key)!r:.80}; accepted: {accepted!r:.80}"
                )
        try:
            self._load(state)
        except (KeyError, TypeError, ValueError) as error:
            raise PredictorError(f"the state of {self.name} is damaged: {error!r}") from error
        return self

    @abstractmethod
    def _dump(self) -> dict[str, Any]:
        """What `_load` needs, as plain JSON data."""

    @abstractmethod
    def _load(self, state: Mapping[str, Any]) -> None:
        """Inverse of `_dump`."""


PREDICTORS: Registry[Predictor] = Registry(Predictor, "predictors", "predictor", "nas.predictors")
register_predictor = PREDICTORS.register
get_predictor = PREDICTORS.get
predictors = PREDICTORS.classes


def valid_measurements(
    population: Population, values: Vector, errors: Vector | None = None, at_least: int = 1
) -> tuple[Vector, Vector | None]:
    """(n,) values, none farther from their median than `FARTHEST`, and their relative standard errors where
    they are known.

    Raises:
        PredictorError: see `Predictor.fit`; the first offending row is named.
    """
    measured = np.asarray(values, dtype=float)
    if measured.ndim != 1 or len(measured) != len(population):
        raise PredictorError(f"values of shape {measured.shape} for {len(population)} architectures")
    if len(measured) < at_least:
        raise PredictorError(f"{len(measured)} measurements; accepted: at least {at_least}")
    wrong = np.flatnonzero(~(np.isfinite(measured) & (measured > 0)))
    if len(wrong):
        raise PredictorError(
            f"values[{wrong[0]}] is {measured[wrong[0]]} ({len(wrong)} such); "
            "accepted: finite numbers above 0"
        )
    with np.errstate(over="ignore"):
        middle = float(np.exp(np.median(np.log(measured))))
        measured = np.clip(measured, middle / FARTHEST, middle * FARTHEST)
    if errors is None:
        return measured, None
    error = np.asarray(errors, dtype=float)
    if error.shape != measured.shape or not (np.isfinite(error) & (error >= 0)).all():
        raise PredictorError("errors; accepted: one finite number of at least 0 for each value")
    with np.errstate(over="ignore"):
        return measured, np.minimum(error / measured, FARTHEST)


def unit_of(values: Vector) -> float:
    """A power of two near the median of (n,) values above 0: in that unit squares neither overflow nor
    vanish, and nothing is rounded."""
    return float(np.exp2(np.clip(np.round(np.median(np.log2(values))), -1000, 1000)))
