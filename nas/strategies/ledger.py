"""What was proposed and what was told, each candidate once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.strategies.index import ABSENT, KeyIndex
from nas.strategies.plain import pack, unpack
from nas.strategies.strategy import Values
from searchspaces.encoding import Encoding, Population

__all__ = ["Ledger"]

Positions = NDArray[np.int64]


class Ledger:
    """Candidates in the order in which they became known, and the values of those told.

    A position is for ever: candidates are never removed, and telling one again replaces its values.
    Rows are found by a 64-bit multiplicative hash: with a million candidates, the chance that any two share
    one is below 1e-4, and all that would follow is that one of them is never proposed.

    Args:
        encoding: of the rows, canonical unless said otherwise.
        objectives: number of values of a candidate.
    """

    def __init__(self, encoding: Encoding, objectives: int) -> None:
        self._encoding = encoding
        self._genes, self._objectives = encoding.genes, objectives
        self._factors = np.random.default_rng(0x5EED).integers(-(2**63), 2**63, encoding.genes) | 1
        self._clear()

    def _clear(self) -> None:
        self._rows = np.empty((64, self._genes), self._encoding.narrow)
        self._values = np.empty((64, self._objectives))
        self._told = np.zeros(64, bool)
        self._index = KeyIndex()
        self._count = 0
        self._said = 0
        self._unsaid: list[Positions] = []

    def __len__(self) -> int:
        """Candidates told."""
        return self._count

    @property
    def taken(self) -> int:
        """Candidates told or waited for."""
        return len(self._index)

    @property
    def population(self) -> Population:
        """(told, genes)."""
        return self.rows(np.flatnonzero(self._told))

    @property
    def values(self) -> Values:
        """(told, objectives)."""
        return self.values_at(np.flatnonzero(self._told))

    @property
    def pending(self) -> Population:
        """(m, genes) proposed and not yet told, in order."""
        return self.rows(np.flatnonzero(~self._told[: self.taken]))

    def rows(self, positions: Positions) -> Population:
        """(n, genes) of the candidates at these positions."""
        return self._rows.take(positions, axis=0).astype(np.int64)

    def values_at(self, positions: Positions) -> Values:
        """(n, objectives) of the told candidates at these positions."""
        return self._values.take(positions, axis=0)

    def fresh(self, population: Population) -> Population:
        """The rows that are not taken, each once, in order."""
        return population.take(self._new(self._hash(population)), axis=0)

    def claim(self, population: Population, limit: int) -> Population:
        """The first `limit` fresh rows, from now on waited for."""
        hashes = self._hash(population)
        new = self._new(hashes)[:limit]
        rows = population.take(new, axis=0)
        self._enter(rows, hashes.take(new))
        return rows

    def tell(self, population: Population, values: Values) -> Positions:
        """Keep values; returns the (n,) positions of the rows. Rows never seen may be non-canonical."""
        found = self._index.find(self._hash(population))
        if (found == ABSENT).any():
            population = self._encoding.canonical(population)
            hashes = self._hash(population)
            new = self._new(hashes)
            self._enter(population[new], hashes[new])
            found = self._index.find(hashes)
        self._keep(found, values)
        return found

    def news(self) -> dict[str, Any]:
        """What became known since the last call, as plain data: candidates, and values by position."""
        positions = np.concatenate([np.empty(0, np.int64), *self._unsaid])
        news = {
            "rows": pack(self._rows[self._said : self.taken]),
            "positions": pack(positions),
            "values": pack(self.values_at(positions)),
        }
        self._said, self._unsaid = self.taken, []
        return news

    def restore(self, news: Iterable[Mapping[str, Any]]) -> None:
        """Take over everything that another ledger had to tell."""
        self._clear()
        for part in news:
            rows = unpack(part["rows"]).astype(np.int64)
            self._enter(rows, self._hash(rows))
            self._keep(unpack(part["positions"]), unpack(part["values"]))
        self._said, self._unsaid = self.taken, []

    def _hash(self, population: Population) -> NDArray[np.int64]:
        hashes: NDArray[np.int64] = population @ self._factors
        return hashes

    def _new(self, hashes: NDArray[np.int64]) -> Positions:
        """Where the hashes that are not taken are, the first of each, in order."""
        absent = np.flatnonzero(self._index.find(hashes) == ABSENT)
        _, first = np.unique(hashes.take(absent), return_index=True)
        first.sort()
        return absent.take(first)

    def _keep(self, positions: Positions, values: Values) -> None:
        self._values[positions] = values
        self._told[positions] = True
        self._count = int(np.count_nonzero(self._told[: self.taken]))
        self._unsaid.append(positions)

    def _enter(self, rows: Population, hashes: NDArray[np.int64]) -> None:
        start, end = self.taken, self.taken + len(rows)
        if end > len(self._rows):
            more = max(end, 2 * len(self._rows)) - len(self._rows)
            self._rows = np.concatenate([self._rows, np.empty((more, self._genes), self._encoding.narrow)])
            self._values = np.concatenate([self._values, np.empty((more, self._objectives))])
            self._told = np.concatenate([self._told, np.zeros(more, bool)])
        self._rows[start:end] = rows
        self._index.add(hashes)
