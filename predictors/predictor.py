"""The interface of a latency predictor, on encoded populations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from searchspaces.encoding import Population
from searchspaces.registry import Registry

__all__ = ["Prediction", "Predictor", "parse_predictor", "predictors", "register_predictor"]

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Latency of a population.

    Attributes:
        mean_ms: (n,) expected latency.
        std_ms: (n,) standard deviation of a new measurement about it.
    """

    mean_ms: Vector
    std_ms: Vector


class Predictor(ABC):
    """Latency of architectures of one space on one target.

    Implementations are built by `predictors.make_predictor` and stored as plain data. Registering
    one enrols it in `tests/predictors/test_contract.py`.
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(self, population: Population, latency_ms: Vector, error_ms: Vector | None = None) -> Self:
        """Learn from measurements: (n, genes), (n,) and optionally their (n,) standard errors.

        Raises:
            ValueError: a latency is not a finite number above 0, or lengths differ.
        """

    @abstractmethod
    def predict(self, population: Population) -> Prediction:
        """Predict (n, genes) candidates, ≥ 100,000 a second on one core."""

    @abstractmethod
    def to_state(self) -> dict[str, Any]:
        """The fitted predictor as plain JSON data."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> Self:
        """Take over a state; returns self."""


_REGISTRY: Registry[Predictor] = Registry("predictors", "predictor")
register_predictor = _REGISTRY.register
predictors = _REGISTRY.classes


def parse_predictor(name: str) -> type[Predictor]:
    """The registered class.

    Raises:
        ValueError: no predictor of that name; those accepted are named.
    """
    known = predictors()
    if name not in known:
        raise ValueError(f"no predictor {name!r}; accepted: {', '.join(known)}")
    return known[name]
