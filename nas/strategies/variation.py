"""Variation operators on whole populations: crossover by layers, moves of whole layers, gene mutation.

A transformer is a sequence of blocks: the value of a block depends on all its genes together and on its
neighbours, so blocks are inherited and moved as a whole. Works on any `Encoding`; without layers, crossover
is uniform and mutation changes genes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from searchspaces.encoding import Codes, Encoding, Population

__all__ = ["Variation", "mates"]

NEIGHBOURHOOD = 0.02
"""Typical rank distance of two mates in an objective, as a share of the parents."""


def mates(values: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(2, n) indices of parents to cross, given their (parents, m) values, best parents first.

    The first wins a binary tournament; the second is near it in one random objective, since traits of two
    distant trade-offs seldom combine well (neighbourhood crossover, Watanabe et al., 2002).
    """
    size = len(values)
    first = (rng.random((2, n)).min(0) * size).astype(np.int64)
    order = np.argsort(values[:, int(rng.integers(values.shape[1]))], kind="stable")
    place = np.empty(size, np.int64)
    place[order] = np.arange(size)
    away = np.rint(rng.laplace(0.0, max(NEIGHBOURHOOD * size, 1.0), n)).astype(np.int64)
    return np.stack([first, order[np.clip(place[first] + away, 0, size - 1)]])


class Variation:
    """Makes children of parents.

    Args:
        encoding: of the populations.
        crossover: share of children with two parents.
        structural: share of children in which a layer is swapped, copied, inserted or deleted.
        mutations: mean of the Poisson distribution of the number of mutated genes.
    """

    def __init__(
        self, encoding: Encoding, crossover: float = 0.9, structural: float = 0.3, mutations: float = 1.2
    ) -> None:
        self._encoding = encoding
        self._crossover = crossover
        self._layers = len(encoding.layer_genes)
        self._structural = structural if self._layers > 1 else 0.0
        # Columns that can change, global ones first, then layer by layer: a network of depth L has the
        # first of them.
        mutable = encoding.cardinalities > 1
        self._free = encoding.global_genes[mutable[encoding.global_genes]]
        self._per_layer = encoding.layer_genes[:, mutable[encoding.layer_genes].any(axis=0)]
        self._mutable = np.concatenate([self._free, self._per_layer.ravel()])
        # Units of inheritance: each layer is one, each global gene is one.
        self._unit = np.empty(encoding.genes, np.int64)
        self._unit[encoding.global_genes] = self._layers + np.arange(len(encoding.global_genes))
        for layer, columns in enumerate(encoding.layer_genes):
            self._unit[columns] = layer
        # Probabilities of at most 1, 2, 3 changes; no change counts as one, more than 4 as 4.
        poisson = np.exp(-mutations) * np.cumprod([1.0, *(mutations / np.arange(1, 4))])
        self._counts = np.cumsum(poisson)[1:]

    def children(self, parents: Population, pairs: NDArray[np.int64], rng: np.random.Generator) -> Population:
        """(n, genes) canonical children of (2, n) pairs of parents, by index; a child may equal a parent."""
        narrow = parents.astype(self._encoding.narrow)
        children = self.cross(narrow.take(pairs[0], axis=0), narrow.take(pairs[1], axis=0), rng)
        if self._structural:
            chosen = np.flatnonzero(rng.random(len(children)) < self._structural)
            children[chosen] = self.move_layers(children[chosen], rng)
        return self._encoding.canonical(self.mutate(children, rng))

    def cross(self, first: Codes, second: Codes, rng: np.random.Generator) -> Codes:
        """Children that inherit whole layers, and global genes, from either parent: half of them a contiguous
        run of layers from the second parent, half each layer from a random parent."""
        n, layers = len(first), self._layers
        units = layers + len(self._encoding.global_genes)
        swap = rng.integers(0, 2, (n, units), dtype=np.bool_)
        if layers > 1:
            run = np.flatnonzero(rng.random(n) < 0.5)
            cuts = np.sort(rng.integers(0, layers + 1, (len(run), 2)), axis=1)
            index = np.arange(layers)
            swap[run, :layers] = (index >= cuts[:, :1]) & (index < cuts[:, 1:])
        swap[rng.random(n) >= self._crossover] = False
        # A choice without branches: −1 has all bits set, 0 none.
        mask = -swap.astype(first.dtype)[:, self._unit]
        return first ^ ((first ^ second) & mask)

    def move_layers(self, population: Codes, rng: np.random.Generator) -> Codes:
        """Each row with one move: two layers swapped, one copied over another, one inserted (later ones shift
        back, and depth grows by one if it can), or one deleted."""
        rows = population.copy()
        n, layers = len(rows), self._layers
        index = np.arange(layers)
        order = np.tile(index, (n, 1))
        present = self._encoding.count_layers(rows)
        here, there = (rng.random((2, n)) * present).astype(np.int64)
        kind = rng.integers(0, 4, n)
        each = np.arange(n)
        swap, copy, insert, delete = (kind == k for k in range(4))
        order[each[swap], here[swap]] = there[swap]
        order[each[swap], there[swap]] = here[swap]
        order[each[copy], here[copy]] = there[copy]
        order[insert] -= index > here[insert, None]
        order[delete] += index >= here[delete, None]
        columns = self._encoding.layer_genes
        source = np.clip(order, 0, layers - 1) + layers * each[:, None]
        moved = rows[:, columns.ravel()].reshape(n * layers, columns.shape[1]).take(source, axis=0)
        rows[:, columns.ravel()] = moved.reshape(n, columns.size)
        self._resize(rows, present + insert - delete, insert | delete)
        return rows

    def _resize(self, rows: Codes, wanted: NDArray[np.int64], where: NDArray[np.bool_]) -> None:
        """Set the depth gene of the rows in `where` to an option with `wanted` layers, if there is one, and
        if the space has a single depth gene."""
        tables = self._encoding.depth_tables
        if len(tables) != 1:
            return
        gene, table = tables[0]
        option = np.full(self._layers + 2, -1)
        option[table.sum(1)] = np.arange(len(table))
        chosen = option[np.clip(wanted, 0, self._layers + 1)]
        fits = where & (chosen >= 0)
        rows[fits, gene] = chosen[fits]

    def mutate(self, population: Codes, rng: np.random.Generator) -> Codes:
        """Each row with a Poisson number of genes changed: at least 1, since mates have much in common, and
        at most 4. Half of the changes are to a neighbouring option, since options are often ordered sizes,
        half to any other."""
        rows = population.copy()
        if not len(self._mutable):
            return rows
        n = len(rows)
        counts = 1 + np.searchsorted(self._counts, rng.random(n))
        row = np.repeat(np.arange(n), counts)
        # Only genes of present layers: others have no effect.
        genes = len(self._free) + self._per_layer.shape[1] * self._encoding.count_layers(rows)
        column = self._mutable[(rng.random(len(row)) * genes[row]).astype(np.int64)]
        cardinality = self._encoding.cardinalities[column]
        old = rows[row, column]
        jump = (old + 1 + (rng.random(len(row)) * (cardinality - 1)).astype(np.int64)) % cardinality
        step = old + np.where(rng.random(len(row)) < 0.5, 1, -1)
        step = np.where(step < 0, 1, np.where(step >= cardinality, cardinality - 2, step))
        stepped = (rng.random(len(row)) < 0.5) & (cardinality > 1)
        rows[row, column] = np.where(stepped, step, jump)
        return rows
