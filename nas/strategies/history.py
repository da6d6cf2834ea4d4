"""What was proposed and what was told, each candidate once."""

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
"""Sums of fractions of an evaluation may be off by this."""


class History:
    """Candidates in the order in which they became known, and the values of those told, at each fidelity.

    A position is for ever: candidates are never removed, and telling one again replaces its values of that
    fidelity. Fidelities are levels from 0, the cheapest, to `full`.
    Rows are found by a 64-bit multiplicative hash: with a million candidates, the chance that any two share
    one is below 1e-4, and all that would follow is that one of them is never proposed.

    Attributes:
        full: the level of a whole evaluation.

    Args:
        encoding: of the rows, canonical unless said otherwise.
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
        self._said = 0
        self._unsaid: list[tuple[Indices, int]] = []
        self._raised: list[Indices] = []

    def __len__(self) -> int:
        """Evaluations told."""
        return self._count

    @property
    def taken(self) -> int:
        """Candidates told or waited for."""
        return len(self._index)

    @property
    def population(self) -> Population:
        """(told, genes) those told in full."""
        return self.rows(np.flatnonzero(self._told[self.full]))

    @property
    def values(self) -> Values:
        """(told, objectives) of those told in full."""
        return self.values_at(np.flatnonzero(self._told[self.full]))

    @property
    def pending(self) -> Population:
        """(m, genes) proposed and not yet told as was asked, in order."""
        return self.rows(np.flatnonzero(self._asked[: self.taken] > self._highest()))

    @property
    def heard(self) -> tuple[Indices, Levels]:
        """The (k,) positions and levels of all that was told, in the order of the positions."""
        positions, levels = np.nonzero(self._told[:, : self.taken].T)
        return positions.astype(np.int64), levels.astype(np.int64)

    @property
    def highest(self) -> tuple[Indices, Levels]:
        """The (k,) positions of all candidates of which anything was told, and the highest level of each."""
        levels = self._highest()
        positions = np.flatnonzero(levels >= 0)
        return positions, levels[positions].astype(np.int64)

    def rows(self, positions: Indices) -> Population:
        """(n, genes) of the candidates at these positions."""
        return self._rows.take(positions, axis=0).astype(np.int64)

    def values_at(self, positions: Indices, levels: Levels | None = None) -> Values:
        """(n, objectives) of the candidates at these positions, told at these levels, or else in full."""
        if levels is None:
            return self._values[self.full].take(positions, axis=0)
        return self._values[levels, positions]

    def cost(self, population: Population) -> float:
        """Whole evaluations that these taken candidates cost as they were asked last."""
        return float(self._costs[self.asked(population)].sum())

    def asked(self, population: Population) -> Levels:
        """(n,) the highest level at which each of these taken candidates was asked or told."""
        return self._asked.take(self.find(population)).astype(np.int64)

    def find(self, population: Population) -> Indices:
        """(n,) positions of these rows; `ABSENT` where one is not taken."""
        return self._index.find(self._hash(population))

    def fresh(self, population: Population) -> Population:
        """The rows that are not taken, each once, in order."""
        return population.take(self._new(self._hash(population)), axis=0)

    def claim(
        self, population: Population, limit: int, left: float = math.inf, levels: Levels | None = None
    ) -> Population:
        """The first distinct rows that are open, from now on waited for: at most `limit`, and as many as can
        be had for `left` whole evaluations. A row is open where it was neither asked nor told at its level or
        a higher one.

        Args:
            levels: (n,) at which they are waited for; in full where None.
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
        """Keep values, of these levels or else in full; returns the (n,) positions of the rows. Rows never
        seen may be non-canonical."""
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
        """What became known since the last call, as plain data: candidates, and values by position; where
        there are several fidelities, also which were told and asked."""
        positions = np.concatenate([np.empty(0, np.int64), *(told for told, _ in self._unsaid)])
        levels = np.concatenate([np.empty(0, np.int64), *(np.full(len(p), at) for p, at in self._unsaid)])
        entry = {
            "rows": pack(self._rows[self._said : self.taken]),
            "positions": pack(positions),
            "values": pack(self.values_at(positions, levels)),
        }
        if self.full:
            raised = np.concatenate([np.arange(self._said, self.taken), *self._raised])
            entry |= {
                "levels": pack(levels),
                "asked": pack(raised),
                "asked_levels": pack(self._asked[raised]),
            }
        self._said, self._unsaid, self._raised = self.taken, [], []
        return entry

    def restore(self, journal: Iterable[Mapping[str, Any]]) -> None:
        """Take over everything that another history had to tell."""
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
        self._said, self._unsaid, self._raised = self.taken, [], []

    def _hash(self, population: Population) -> NDArray[np.int64]:
        hashes: NDArray[np.int64] = population @ self._factors
        return hashes

    def _new(self, hashes: NDArray[np.int64]) -> Indices:
        """Where the hashes that are not taken are, the first of each, in order."""
        return _first_of_each(hashes, np.flatnonzero(self._index.find(hashes) == ABSENT))

    def _highest(self) -> NDArray[np.int8]:
        """(taken,) the highest level told of each candidate, -1 where there is none."""
        highest = np.full(self.taken, -1, np.int8)
        for level, told in enumerate(self._told[:, : self.taken]):
            highest[told] = level
        return highest

    def _keep(self, positions: Indices, values: Values, level: int) -> None:
        self._values[level, positions] = values
        self._told[level, positions] = True
        self._asked[positions] = np.maximum(self._asked[positions], level)
        self._count = int(np.count_nonzero(self._told[:, : self.taken]))
        self._unsaid.append((positions, level))

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
    """Of these places those where a hash occurs for the first time, in order."""
    _, first = np.unique(hashes.take(places), return_index=True)
    first.sort()
    return places.take(first)
