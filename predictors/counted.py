"""Baselines that know an architecture by its counted work."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import nnls

from predictors.baseline import Baseline
from predictors.design import Matrix
from predictors.predictor import Vector, register_predictor
from searchspaces.costs import WORK
from searchspaces.encoding import Population

__all__ = ["IdealisedRuntime", "Lookup", "Macs", "Peak"]

_MACS = [i for i, name in enumerate(WORK) if name.endswith("_macs")]
_ELEMENTS = [i for i, name in enumerate(WORK) if name.endswith("_elements")]


class _Linear(Baseline):
    """Non-negative least squares of relative errors on a few columns."""

    coefficients: Vector

    @abstractmethod
    def _columns(self, population: Population) -> Matrix:
        """(n, columns) counts, each at least 0."""

    def _learn(self, population: Population, latency: Vector) -> None:
        rows = self._columns(population) / latency[:, None]
        size = np.maximum(np.linalg.norm(rows, axis=0), 1e-300)
        solution, _ = nnls(rows / size, np.ones(len(latency)), maxiter=100 * rows.shape[1])
        self.coefficients = solution / size
        # Where every term that a row contains was found to be free, the cheapest known row stands in.
        self.floor = float(latency.min()) / 10

    def _expected(self, population: Population) -> Vector:
        return np.maximum(self._columns(population) @ self.coefficients, self.floor)

    def _dump_learned(self) -> dict[str, Any]:
        return {"coefficients": self.coefficients.tolist(), "floor": self.floor}

    def _load_learned(self, state: Mapping[str, Any]) -> None:
        self.coefficients = np.asarray(state["coefficients"], float)
        self.floor = float(state["floor"])


@register_predictor("macs")
class Macs(_Linear):
    """A constant and a time per multiply-accumulate: what papers that count FLOPs assume."""

    def _columns(self, population: Population) -> Matrix:
        macs = self.design.total_work(population)[:, _MACS].sum(1)
        # One measurement decides one number: the first.
        return np.stack([macs, np.ones(len(macs))], axis=1)


@register_predictor("lookup")
class Lookup(_Linear):
    """A table of what each block takes, by least squares, nothing believed beforehand (ProxylessNAS,
    Cai et al., 2019)."""

    def _columns(self, population: Population) -> Matrix:
        return self.design.counts(population)


@register_predictor("peak")
class Peak(_Linear):
    """What adds up over layers (weights, kernel launches, and a constant) and the largest block's values, of
    which only one layer's are alive at a time: how much memory a model takes at its peak."""

    _WEIGHTS, _CALLS = WORK.index("weight_elements"), WORK.index("calls")

    def _columns(self, population: Population) -> Matrix:
        total = self.design.total_work(population)
        written = self.design.work[:, _ELEMENTS].sum(1)
        largest = ((self.design.counts(population) > 0) * written).max(1)
        return np.stack(
            [total[:, self._WEIGHTS], total[:, self._CALLS], largest, np.ones(len(total))], axis=1
        )


@register_predictor("roofline")
class IdealisedRuntime(Baseline):
    """The idealised runtime of Narayanan et al. (2023): every block takes as long as its arithmetic or its
    memory traffic, whichever is longer (Williams et al., 2009), on a device of two numbers.
    """

    at_least = 2
    _INTENSITIES = np.geomspace(0.01, 1000, 61)

    per_mac: float
    per_element: float

    def _learn(self, population: Population, latency: Vector) -> None:
        counts = self.design.counts(population)
        best = np.inf
        for intensity in self._INTENSITIES:
            ratio = (counts @ self._slowest(1.0, intensity)) / latency
            scale = float(np.median(1 / ratio))
            error = float(np.abs(ratio * scale - 1).mean())
            if error < best:
                best, self.per_mac, self.per_element = error, scale, scale * float(intensity)

    def _expected(self, population: Population) -> Vector:
        return self.design.counts(population) @ self._slowest(self.per_mac, self.per_element)

    def _slowest(self, per_mac: float, per_element: float) -> Vector:
        work = self.design.work
        return np.asarray(
            np.maximum(per_mac * work[:, _MACS].sum(1), per_element * work[:, _ELEMENTS].sum(1)), float
        )

    def _dump_learned(self) -> dict[str, Any]:
        return {"per_mac": self.per_mac, "per_element": self.per_element}

    def _load_learned(self, state: Mapping[str, Any]) -> None:
        self.per_mac, self.per_element = float(state["per_mac"]), float(state["per_element"])
