"""What was proposed and what was told, each candidate once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.strategies.plain import pack, unpack
from nas.strategies.strategy import Values
from searchspaces.encoding import Encoding, Population

__all__ = ["Ledger"]

PENDING = -1


class Ledger:
    """Candidates with their values, in the order of being told, and those still waited for.

    Telling a candidate again replaces its values. Lookups are by exact row; a row costs its genes
    as bytes, so millions of candidates fit.

    Args:
        encoding: of the rows, which must be canonical.
        objectives: number of values of a candidate.
    """

    def __init__(self, encoding: Encoding, objectives: int) -> None:
        self._encoding = encoding
        self._small = np.dtype(np.uint8 if int(encoding.cardinalities.max(initial=1)) <= 256 else np.int64)
        self._rows = np.empty((64, encoding.genes), self._small)
        self._values = np.empty((64, objectives))
        self._index: dict[bytes, int] = {}
        self._told = 0

    def __len__(self) -> int:
        return self._told

    @property
    def taken(self) -> int:
        """Candidates told or waited for."""
        return len(self._index)

    @property
    def population(self) -> Population:
        """(told, genes)."""
        return self._rows[: self._told].astype(np.int64)

    def rows(self, positions: NDArray[np.int64]) -> Population:
        """(n, genes) of the told candidates at these positions."""
        return self._rows[positions].astype(np.int64)

    @property
    def values(self) -> Values:
        """(told, objectives), a view."""
        return self._values[: self._told]

    @property
    def pending(self) -> Population:
        """(m, genes) proposed and not yet told, in order."""
        keys = [key for key, position in self._index.items() if position == PENDING]
        rows = np.frombuffer(b"".join(keys), self._small).astype(np.int64)
        return rows.reshape(len(keys), self._encoding.genes)

    def fresh(self, population: Population) -> Population:
        """The rows that are not taken, each once, in order."""
        index = self._index
        first: dict[bytes, int] = {}
        for position, key in enumerate(self._keys(population)):
            if key not in index:
                first.setdefault(key, position)
        if len(first) == len(population):
            return population
        return population[np.fromiter(first.values(), np.int64, len(first))]

    def propose(self, population: Population) -> None:
        """Note fresh rows as waited for."""
        self._index.update(dict.fromkeys(self._keys(population), PENDING))

    def tell(self, population: Population, values: Values) -> NDArray[np.int64]:
        """Keep values; returns the (n,) positions of the rows in `population`."""
        positions = np.empty(len(population), np.int64)
        start = self._told
        self._reserve(start + len(population))
        for i, key in enumerate(self._keys(population)):
            position = self._index.get(key, PENDING)
            if position == PENDING:
                position = self._index[key] = self._told
                self._told += 1
            positions[i] = position
        self._rows[positions] = population
        self._values[positions] = values
        return positions

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "population": pack(self._rows[: self._told]),
            "values": pack(self.values),
            "pending": pack(self.pending.astype(self._small)),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self._index, self._told = {}, 0
        self.tell(unpack(state["population"]).astype(np.int64), unpack(state["values"]))
        self.propose(unpack(state["pending"]).astype(np.int64))

    def _keys(self, population: Population) -> list[bytes]:
        rows = np.ascontiguousarray(population.astype(self._small))
        if not rows.shape[1]:
            return [b""] * len(rows)
        width = rows.itemsize * rows.shape[1]
        text = rows.tobytes()
        return [text[i : i + width] for i in range(0, len(text), width)]

    def _reserve(self, count: int) -> None:
        if count > len(self._rows):
            size = max(count, 2 * len(self._rows))
            self._rows = np.concatenate(
                [self._rows, np.empty((size - len(self._rows), self._rows.shape[1]), self._small)]
            )
            more = np.empty((size - len(self._values), self._values.shape[1]))
            self._values = np.concatenate([self._values, more])
