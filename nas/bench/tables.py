"""Pools of measured architectures as search spaces: tables in the format of HW-GPT-Bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.problem import Values
from predictors.errors import PredictorError
from predictors.tables.columns import numbers, read_columns
from predictors.tables.hwgpt import LATENCY, REQUIRED, readable_rows
from searchspaces.encoding import Encoding, Population
from searchspaces.space import SearchSpace

__all__ = ["PoolEncoding", "ScoredRows", "TableProblem", "distinct_rows", "read_scored"]

PERPLEXITY = "perplexity"


class PoolEncoding(Encoding):
    """A space of which only the rows of a pool exist: every other code stands for the nearest of them.

    Nearest is the one that differs in the fewest genes, the first of those. A gene that is no layer's (a
    width, the depth) counts more than the genes of all layers together: it decides what a model costs.

    Args:
        pool: (n, genes) distinct rows.
    """

    def __init__(
        self,
        cardinalities: Sequence[int],
        names: Sequence[str],
        layer_genes: Sequence[Sequence[int]],
        pool: Population,
    ) -> None:
        super().__init__(cardinalities, names, layer_genes, self._nearest)
        self.pool = pool
        weights = np.ones(self.genes, np.float32)
        weights[self.global_genes] = 1 + self.layer_genes.size
        self._weights = np.repeat(weights, self.cardinalities)
        self._one_hot = self._spread(pool).T.copy()
        self._position = {key: i for i, key in enumerate(map(bytes, self.keys(pool)))}

    def index(self, population: Population) -> NDArray[np.int64]:
        """(n,) positions in the pool of canonical rows."""
        return np.array([self._position[bytes(key)] for key in self.keys(population)], np.int64)

    def sample(self, n: int, rng: np.random.Generator) -> Population:
        """(n, genes) uniform over the pool."""
        return self.pool[rng.integers(0, len(self.pool), n)]

    def enumerate(self, limit: int) -> Population | None:
        """The pool, unless it is larger than `limit`."""
        return self.pool if len(self.pool) <= limit else None

    def _spread(self, rows: Population) -> NDArray[np.float32]:
        columns = [np.eye(c, dtype=np.float32)[rows[:, g]] for g, c in enumerate(self.cardinalities.tolist())]
        return np.concatenate(columns, axis=1)

    def _nearest(self, rows: Population) -> Population:
        if not hasattr(self, "_position"):  # while the encoding is being made
            return rows
        keys = [self._position.get(bytes(key), -1) for key in self.keys(rows)]
        positions = np.array(keys, np.int64)
        strange = positions < 0
        if strange.any():
            positions[strange] = np.argmax(
                (self._spread(rows[strange]) * self._weights) @ self._one_hot, axis=1
            )
        return self.pool[positions]


@dataclass(frozen=True)
class ScoredRows:
    """The rows of a table that have a perplexity, and a latency on each of some devices.

    Attributes:
        space: that the architectures span, without the covariates.
        covariates: values of each further column that tells architectures apart.
        population: (n, genes + covariates) indices of their options.
        perplexity: (n,) above 0.
        latency_ms: (n,) above 0, by device.
        notes: what was left out of the table, and why.
    """

    space: SearchSpace
    covariates: Mapping[str, tuple[float, ...]]
    population: Population
    perplexity: NDArray[np.float64]
    latency_ms: Mapping[str, NDArray[np.float64]]
    notes: tuple[str, ...]


def read_scored(path: Path, devices: Sequence[str]) -> ScoredRows:
    """Read a table in the format of HW-GPT-Bench.

    Raises:
        PredictorError: the file cannot be read, lacks a column, or has no row with all the values.
    """
    columns = read_columns(path)
    needed = {*REQUIRED, PERPLEXITY, *(device + LATENCY for device in devices)}
    if missing := sorted(needed - set(columns)):
        known = ", ".join(name.removesuffix(LATENCY) for name in columns if name.endswith(LATENCY))
        raise PredictorError(f"{path} lacks {', '.join(missing)}; its devices: {known or 'none'}")
    names = [PERPLEXITY, *(device + LATENCY for device in devices)]
    values = np.stack([numbers(columns, name) for name in names])
    scored = np.flatnonzero((np.isfinite(values) & (values > 0)).all(0))
    if not len(scored):
        wanted = f"a perplexity, and a latency on each of {', '.join(devices)}"
        raise PredictorError(f"{path} has no row with {wanted}")
    rows = readable_rows(path.name, columns, scored.tolist())
    lacking = values.shape[1] - len(scored)
    return ScoredRows(
        rows.space,
        rows.covariates,
        rows.population,
        numbers(rows.columns, PERPLEXITY),
        {device: numbers(rows.columns, device + LATENCY) for device in devices},
        (*rows.notes, *([f"{lacking} rows lack a value"] if lacking else [])),
    )


def distinct_rows(population: Population) -> NDArray[np.int64]:
    """(m,) positions of the first of each set of equal rows, rising."""
    return np.sort(np.unique(population, axis=0, return_index=True)[1])


class TableProblem:
    """A table as a search problem: which of its architectures are best in perplexity and on one device.

    Attributes:
        encoding: the genes that have a choice, covariates among those that are no layer's.
        values: (n, 2) perplexity and latency in ms of each row of the encoding's pool.
    """

    def __init__(self, rows: ScoredRows, device: str) -> None:
        space, choice = rows.space, rows.space.cardinalities > 1
        layers = [[gene for gene in layer if choice[gene]] for layer in space.layer_genes.tolist()]
        shared = [gene for gene in space.global_genes.tolist() if choice[gene]]
        added = range(space.genes, space.genes + len(rows.covariates))
        columns = [*shared, *added, *(gene for layer in layers for gene in layer)]
        cardinalities = [*space.cardinalities.tolist(), *map(len, rows.covariates.values())]
        names = [*space.names, *rows.covariates]
        population = rows.population[:, columns]
        first = distinct_rows(population)
        self.encoding = PoolEncoding(
            [cardinalities[column] for column in columns],
            [names[column] for column in columns],
            [[columns.index(gene) for gene in layer] for layer in layers],
            population[first],
        )
        self.values: Values = np.stack([rows.perplexity, rows.latency_ms[device]], 1)[first]

    def evaluate(self, population: Population) -> Values:
        """(n, 2) the table's values of canonical rows."""
        return self.values[self.encoding.index(population)]
