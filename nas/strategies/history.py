"""The history of a search: the candidates that were asked, and the values that were told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.problem import Levels, Values
from nas.strategies.index import ABSENT, KeyIndex
from nas.strategies.plain import pack, unpack
from searchspaces.encoding import Encoding, Population

__all__ = ["History"]

Indices = NDArray[np.int64]


PAID = 1e-9
"""Tolerance of sums of fractions of an evaluation."""


class History:
    """Candidates in the order in which they became known, and their values at each fidelity.

    A candidate's position never changes: none is removed, and telling one again replaces its values at that
    fidelity. Fidelities are levels from 0, the cheapest, to `full`.

    Candidates are found by a 64-bit multiplicative hash. Among a million, the probability of any collision is
    below 1e-4, and its only consequence would be that one of the two is never proposed.

    Attributes:
        full: the highest level.

    Args:
        encoding: of the rows, which are canonical unless said otherwise.
        objectives: number of values of a candidate.
        fidelities: see `SearchProblem.fidelities`.
    """

    def __init__(self, encoding: Encoding, objectives: int, fidelities: tuple[float, ...] = (1.0,)) -> None:
        self._encoding = encoding
        self._genes, self._objectives = encoding.genes, objectives
        self._factors = np.random.default_rng(0x5EED).integers(-(2**63), 2**63, encoding.genes) | 1
        self._costs = np.array(fidelities)
        self.full = len(fidelities) - 1
        self._clear()

    def _clear(self) -> None:
        self._rows = np.empty((64, self._genes), self._encoding.narrow)
        self._values = np.empty((self.full + 1, 64, self._objectives))
        self._told = np.zeros((self.full + 1, 64), bool)
        self._asked = np.zeros(64, np.int8)
        self._index = KeyIndex()
        self._count = 0
        self._recorded = 0
        self._unrecorded: list[tuple[Indices, int]] = []
        self._raised: list[Indices] = []

    def __len__(self) -> int:
        """Number of evaluations told."""
        return self._count

    @property
    def taken(self) -> int:
        """Number of candidates told or pending."""
        return len(self._index)

    @property
    def population(self) -> Population:
        """(told, genes) candidates told at full fidelity."""
        return self.rows(np.flatnonzero(self._told[self.full]))

    @property
    def values(self) -> Values:
        """(told, objectives) values told at full fidelity."""
        return self.values_at(np.flatnonzero(self._told[self.full]))

    @property
    def pending(self) -> Population:
        """(m, genes) candidates asked and not yet told at the fidelity asked, in order."""
        return self.rows(np.flatnonzero(self._asked[: self.taken] > self._highest()))

    @property
    def observations(self) -> tuple[Indices, Levels]:
        """(k,) positions and levels of all evaluations told, in order of position."""
        positions, levels = np.nonzero(self._told[:, : self.taken].T)
        return positions.astype(np.int64), levels.astype(np.int64)

    @property
    def highest(self) -> tuple[Indices, Levels]:
        """(k,) positions of all candidates told at any level, and the highest level of each."""
        levels = self._highest()
        positions = np.flatnonzero(levels >= 0)
        return positions, levels[positions].astype(np.int64)

    def rows(self, positions: Indices) -> Population:
        """(n, genes) of the candidates at these positions."""
        return self._rows.take(positions, axis=0).astype(np.int64)

    def values_at(self, positions: Indices, levels: Levels | None = None) -> Values:
        """(n, objectives) values of the candidates at these positions, told at these levels; at full fidelity
        if None."""
        if levels is None:
            return self._values[self.full].take(positions, axis=0)
        return self._values[levels, positions]

    def cost(self, population: Population) -> float:
        """Cost of these candidates at the levels at which they were last asked, in full evaluations."""
        return float(self._costs[self.asked(population)].sum())

    def asked(self, population: Population) -> Levels:
        """(n,) highest level at which each of these candidates, all taken, was asked or told."""
        return self._asked.take(self.find(population)).astype(np.int64)

    def find(self, population: Population) -> Indices:
        """(n,) positions of these rows; `ABSENT` for those not taken."""
        return self._index.find(self._hash(population))

    def fresh(self, population: Population) -> Population:
        """The distinct rows that are not taken, in order."""
        return population.take(self._new(self._hash(population)), axis=0)

    def claim(
        self, population: Population, limit: int, left: float = math.inf, levels: Levels | None = None
    ) -> Population:
        """The first distinct rows that are open, which become pending: at most `limit`, and no more than
        `left` full evaluations pay for. A row is open unless it was asked or told at its level or a higher
        one.

        Args:
            levels: (n,) at which they are to be evaluated; full if None.
        """
        hashes = self._hash(population)
        levels = np.full(len(population), self.full) if levels is None else levels
        found = self._index.find(hashes)
        known = np.where(found == ABSENT, -1, self._asked.take(found))
        chosen = _first_of_each(hashes, np.flatnonzero(known < levels))[:limit]
        chosen = chosen[np.cumsum(self._costs[levels.take(chosen)]) <= left + PAID]
        rows = population.take(chosen, axis=0)
        new = found.take(chosen) == ABSENT
        self._enter(rows[new], hashes.take(chosen[new]))
        positions = self._index.find(hashes.take(chosen))
        self._asked[positions] = levels.take(chosen)
        self._raised.append(positions[~new])
        return rows

    def tell(self, population: Population, values: Values, levels: Levels | None = None) -> Indices:
        """Keep values told at these levels, full if None; returns the (n,) positions of the rows. Rows not
        seen before may be non-canonical."""
        found = self._index.find(self._hash(population))
        if (found == ABSENT).any():
            population = self._encoding.canonical(population)
            hashes = self._hash(population)
            new = self._new(hashes)
            self._enter(population[new], hashes[new])
            found = self._index.find(hashes)
        if levels is None:
            self._keep(found, values, self.full)
        else:
            for level in np.unique(levels).tolist():
                self._keep(found[levels == level], values[levels == level], level)
        return found

    def journal_entry(self) -> dict[str, Any]:
        """What became known since the last call, as plain data: new candidates, and values by position; with
        several fidelities, also the levels told and asked."""
        positions = np.concatenate([np.empty(0, np.int64), *(told for told, _ in self._unrecorded)])
        levels = np.concatenate([np.empty(0, np.int64), *(np.full(len(p), at) for p, at in self._unrecorded)])
        entry = {
            "rows": pack(self._rows[self._recorded : self.taken]),
            "positions": pack(positions),
            "values": pack(self.values_at(positions, levels)),
        }
        if self.full:
            raised = np.concatenate([np.arange(self._recorded, self.taken), *self._raised])
            entry |= {
                "levels": pack(levels),
                "asked": pack(raised),
                "asked_levels": pack(self._asked[raised]),
            }
        self._recorded, self._unrecorded, self._raised = self.taken, [], []
        return entry

    def restore(self, journal: Iterable[Mapping[str, Any]]) -> None:
        """Become the history that these journal entries record."""
        self._clear()
        for entry in journal:
            rows = unpack(entry["rows"]).astype(np.int64)
            self._enter(rows, self._hash(rows))
            self._asked[self.taken - len(rows) : self.taken] = self.full
            positions, values = unpack(entry["positions"]), unpack(entry["values"])
            levels = unpack(entry["levels"]) if "levels" in entry else np.full(len(positions), self.full)
            for level in np.unique(levels).tolist():
                self._keep(positions[levels == level], values[levels == level], level)
            if "asked" in entry:
                self._asked[unpack(entry["asked"])] = unpack(entry["asked_levels"])
        self._recorded, self._unrecorded, self._raised = self.taken, [], []

    def _hash(self, population: Population) -> NDArray[np.int64]:
        hashes: NDArray[np.int64] = population @ self._factors
        return hashes

    def _new(self, hashes: NDArray[np.int64]) -> Indices:
        """Indices of the hashes that are not taken, the first of each, in order."""
        return _first_of_each(hashes, np.flatnonzero(self._index.find(hashes) == ABSENT))

    def _highest(self) -> NDArray[np.int8]:
        """(taken,) highest level told of each candidate; -1 for none."""
        highest = np.full(self.taken, -1, np.int8)
        for level, told in enumerate(self._told[:, : self.taken]):
            highest[told] = level
        return highest

    def _keep(self, positions: Indices, values: Values, level: int) -> None:
        self._values[level, positions] = values
        self._told[level, positions] = True
        self._asked[positions] = np.maximum(self._asked[positions], level)
        self._count = int(np.count_nonzero(self._told[:, : self.taken]))
        self._unrecorded.append((positions, level))

    def _enter(self, rows: Population, hashes: NDArray[np.int64]) -> None:
        start, end = self.taken, self.taken + len(rows)
        if end > len(self._rows):
            more = max(end, 2 * len(self._rows)) - len(self._rows)
            levels = self.full + 1
            self._rows = np.concatenate([self._rows, np.empty((more, self._genes), self._encoding.narrow)])
            self._values = np.concatenate([self._values, np.empty((levels, more, self._objectives))], axis=1)
            self._told = np.concatenate([self._told, np.zeros((levels, more), bool)], axis=1)
            self._asked = np.concatenate([self._asked, np.zeros(more, np.int8)])
        self._rows[start:end] = rows
        self._asked[start:end] = -1
        self._index.add(hashes)


def _first_of_each(hashes: NDArray[np.int64], places: Indices) -> Indices:
    """Of these indices, those at which a hash occurs for the first time, in order."""
    _, first = np.unique(hashes.take(places), return_index=True)
    first.sort()
    return places.take(first)
