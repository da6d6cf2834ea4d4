"""Pools of measured architectures as search spaces (the form of HW-GPT-Bench's tables)."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.problem import Values
from searchspaces.encoding import Encoding, Population

__all__ = ["PoolEncoding", "Table", "read_table"]

GLOBAL_COLUMNS = ("embed_dim", "n_layer", "bias")
LAYER_COLUMNS = ("n_head", "mlp_ratio")
DEPTH = "n_layer"


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


class Table:
    """A pool with its values.

    Attributes:
        values: (n, 2) perplexity and latency in ms of each row of the pool.
    """

    def __init__(self, encoding: PoolEncoding, values: Values) -> None:
        self.encoding, self.values = encoding, values

    def evaluate(self, population: Population) -> Values:
        """(n, 2) the table's values of canonical rows."""
        return self.values[self.encoding.index(population)]


def read_table(path: Path, device: str) -> Table:
    """Read the rows that have both a perplexity and a latency on the device.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has another form, no such device, or no row with both values.
    """
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = list(csv.DictReader(data.decode().splitlines()))
    latency = f"{device}:latency_ms"
    needed = {*GLOBAL_COLUMNS, *LAYER_COLUMNS, "perplexity", latency}
    if not rows or not needed <= rows[0].keys():
        missing = ", ".join(sorted(needed - set(rows[0] if rows else ())))
        devices = [name.split(":")[0] for name in (rows[0] if rows else ()) if name.endswith(":latency_ms")]
        raise ValueError(f"{path} lacks {missing}; devices: {', '.join(devices)}")
    rows = [row for row in rows if row["perplexity"] and row[latency]]
    if not rows:
        raise ValueError(f"{path} has no row with a perplexity and a latency on {device}")
    layers = max(int(row[DEPTH]) for row in rows)
    texts = [
        [row[name] for name in GLOBAL_COLUMNS] + [part for column in _layers(row, layers) for part in column]
        for row in rows
    ]
    options = [sorted(set(column) - {""}, key=float) for column in zip(*texts, strict=True)]
    # A layer's gene has the options of all layers, so that they mean the same in each.
    first = len(GLOBAL_COLUMNS)
    for offset in range(len(LAYER_COLUMNS)):
        columns = range(first + offset, len(options), len(LAYER_COLUMNS))
        union = sorted(set().union(*(options[c] for c in columns)), key=float)
        for column in columns:
            options[column] = union
    codes = np.array(
        [[options[g].index(t) if t else 0 for g, t in enumerate(row)] for row in texts], np.int64
    )
    _, distinct = np.unique(codes, axis=0, return_index=True)
    distinct.sort()
    names = [*GLOBAL_COLUMNS, *(f"{name}_{i}" for i in range(layers) for name in LAYER_COLUMNS)]
    layer_genes = (first + np.arange(layers * len(LAYER_COLUMNS)).reshape(layers, -1)).tolist()
    encoding = PoolEncoding([len(o) for o in options], names, layer_genes, codes[distinct])
    values = np.array([[float(row["perplexity"]), float(row[latency])] for row in rows])
    return Table(encoding, values[distinct])


def _layers(row: dict[str, str], layers: int) -> list[tuple[str, ...]]:
    """The layer genes of each layer; empty texts past the depth."""
    columns = [row[name].split("-") for name in LAYER_COLUMNS]
    padded = [column + [""] * (layers - len(column)) for column in columns]
    return list(zip(*padded, strict=True))
