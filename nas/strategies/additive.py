"""Objectives that are sums over genes, and their proved optima under bounds by mixed-integer programming."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from nas.strategies.strategy import Values
from searchspaces.encoding import Encoding, Population

__all__ = ["AdditiveModel", "Optimum"]

RIDGE = 1e-3


@dataclass(frozen=True)
class Optimum:
    """An answer of `AdditiveModel.optimum`.

    Attributes:
        row: (genes,) canonical.
        values: (m,) by the model.
        gap: how much better, relative to the answer, anything could still be by the model: 0 where proved.
    """

    row: NDArray[np.int64]
    values: NDArray[np.float64]
    gap: float


class AdditiveModel:
    """value(row) = constant + Σ over present genes of what its option contributes.

    Genes of layers that a row does not have contribute nothing, so that depth acts through the layers
    that it leaves. `relative_error` says how far from additive the data was.

    Args:
        population, values: (n, genes) and (n, m) to fit, by ridge regression.
    """

    def __init__(self, encoding: Encoding, population: Population, values: Values) -> None:
        self._encoding = encoding
        cardinalities = encoding.cardinalities
        self._start = np.concatenate([[0], np.cumsum(cardinalities)])
        self._layer = np.full(encoding.genes, -1)
        for layer, columns in enumerate(encoding.layer_genes):
            self._layer[columns] = layer
        features = self._one_hot(population)
        self._centre, self._constant = features.mean(0), values.mean(0)
        centred = features - self._centre
        gram = centred.T @ centred + RIDGE * len(population) / len(cardinalities) * np.eye(len(self._centre))
        self._weights = np.linalg.solve(gram, centred.T @ (values - self._constant))
        left = values - self.predict(population)
        self.relative_error = np.sqrt(np.square(left).mean(0)) / np.maximum(values.std(0), 1e-300)

    def predict(self, population: Population) -> Values:
        """(n, m)."""
        return self._constant + (self._one_hot(population) - self._centre) @ self._weights

    def replaced(self, columns: Sequence[int], other: AdditiveModel) -> AdditiveModel:
        """This model with some objectives as in another of the same encoding."""
        merged = copy.copy(self)
        merged._weights, merged._constant = self._weights.copy(), self._constant.copy()
        chosen = list(columns)
        merged._weights[:, chosen] = other._weights[:, chosen]
        shift = (self._centre - other._centre) @ other._weights[:, chosen]
        merged._constant[chosen] = other._constant[chosen] + shift
        merged.relative_error = self.relative_error.copy()
        merged.relative_error[chosen] = other.relative_error[chosen]
        return merged

    def optimum(
        self, objective: int, bounds: NDArray[np.float64], seconds: float = 1.0, nodes: int | None = None
    ) -> Optimum | None:
        """The row of the least model value of one objective, all objectives being at most their bounds
        (m,), infinite for none. None where nothing meets them by the model, or nothing was found in time.

        Args:
            seconds: of wall time, after which the best so far is the answer, with its gap.
            nodes: of branch and bound, likewise.
        """
        size = int(self._start[-1])
        limits = bounds - self._constant + self._centre @ self._weights
        constraints = [LinearConstraint(*self._choices())]
        bounded = np.isfinite(bounds)
        if bounded.any():
            constraints.append(LinearConstraint(self._weights[:, bounded].T, -np.inf, limits[bounded]))
        limits_of_work: dict[str, float] = {"time_limit": seconds, "mip_rel_gap": 0.0}
        if nodes is not None:
            limits_of_work["node_limit"] = nodes
        found = milp(
            self._weights[:, objective],
            constraints=constraints,
            integrality=np.ones(size),
            bounds=Bounds(0, 1),
            options=limits_of_work,
        )
        if found.x is None:
            return None
        chosen = [found.x[a:b] for a, b in zip(self._start[:-1], self._start[1:], strict=True)]
        row = self._encoding.canonical([[int(np.argmax(options)) for options in chosen]])
        values = self.predict(row)[0]
        least = self._constant[objective] - self._centre @ self._weights[:, objective] + found.mip_dual_bound
        gap = max(0.0, float(values[objective] - least)) / max(abs(float(values[objective])), 1e-300)
        return Optimum(row[0], values, gap if gap > 1e-9 else 0.0)

    def _choices(self) -> tuple[sparse.csr_matrix, NDArray[np.float64], NDArray[np.float64]]:
        """One option a gene; of a layer's gene, none where an option of a global gene drops its layer."""
        genes, size = self._encoding.genes, int(self._start[-1])
        rows: list[NDArray[np.float64]] = []
        low, high = [], []
        for gene in range(genes):
            one = np.zeros(size)
            one[self._start[gene] : self._start[gene + 1]] = 1.0
            tables = self._encoding.depth_tables if self._layer[gene] >= 0 else []
            if not tables:
                rows.append(one)
                low.append(1.0)
                high.append(1.0)
                continue
            for dropper, table in tables:
                # Σ options − Σ droppers that keep the layer ≤ 0; with one dropper, equality.
                kept = one.copy()
                span = slice(self._start[dropper], self._start[dropper + 1])
                kept[span] = -table[:, self._layer[gene]].astype(float)
                rows.append(kept)
                low.append(0.0 if len(tables) == 1 else -np.inf)
                high.append(0.0)
            if len(tables) > 1:
                # At least one option where every dropper keeps the layer.
                kept = one.copy()
                for dropper, table in tables:
                    span = slice(self._start[dropper], self._start[dropper + 1])
                    kept[span] -= table[:, self._layer[gene]]
                rows.append(kept)
                low.append(1.0 - len(tables))
                high.append(np.inf)
        return sparse.csr_matrix(np.array(rows)), np.array(low), np.array(high)

    def _one_hot(self, population: Population) -> NDArray[np.float64]:
        found = np.zeros((len(population), int(self._start[-1])))
        each = np.arange(len(population))
        active = self._encoding.active_layers(population)
        for gene in range(population.shape[1]):
            layer = self._layer[gene]
            present = 1.0 if layer < 0 else active[:, layer]
            found[each, self._start[gene] + population[:, gene]] = present
        return found
