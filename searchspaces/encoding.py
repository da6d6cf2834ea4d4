"""Populations as integer matrices: the only thing a search strategy needs to know of a space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Codes", "Encoding", "Population"]

Population = NDArray[np.int64]
"""(n, genes) option indices, gene g in [0, cardinalities[g])."""

Codes = NDArray[np.integer[Any]]
"""A population in whatever integers hold its codes."""


class Encoding:
    """Genes with their cardinalities, which of them form layers, and which codes are equal.

    Args:
        cardinalities: (genes,) number of options of each gene, all ≥ 1.
        names: one name a gene.
        layer_genes: (layers, genes per layer) column of each layer's genes, in the same order in
            every layer; None where the space has no layers.
        canonical: maps (n, genes) to (n, genes), sending every code of one model to the same row
            (inactive genes to 0); None where every code is its own model.
    """

    def __init__(
        self,
        cardinalities: ArrayLike,
        names: Sequence[str],
        layer_genes: ArrayLike | None = None,
        canonical: Callable[[Population], Population] | None = None,
    ) -> None:
        self.cardinalities: NDArray[np.int64] = np.asarray(cardinalities, dtype=np.int64)
        self.names = tuple(names)
        if self.cardinalities.ndim != 1 or len(self.names) != len(self.cardinalities):
            raise ValueError(
                f"{len(self.names)} names for cardinalities of shape {self.cardinalities.shape}; "
                "accepted: one each"
            )
        if (self.cardinalities < 1).any():
            raise ValueError("every gene needs at least one option")
        self.layer_genes: NDArray[np.int64] = (
            np.empty((0, 0), np.int64) if layer_genes is None else np.asarray(layer_genes, dtype=np.int64)
        )
        self._canonical = canonical

    @property
    def genes(self) -> int:
        """Number of columns of a population."""
        return len(self.names)

    def size(self) -> int:
        """Number of codes: an upper bound on the number of different models."""
        return int(np.prod(self.cardinalities.astype(object)))

    def canonical(self, population: ArrayLike) -> Population:
        """(n, genes) with inactive genes at 0; a copy."""
        rows: Any = np.array(population, dtype=np.int64, copy=True)
        return rows if self._canonical is None else self._canonical(rows)

    @cached_property
    def global_genes(self) -> NDArray[np.int64]:
        """Columns that belong to no layer."""
        return np.setdiff1d(np.arange(self.genes), self.layer_genes.ravel())

    def enumerate(self, limit: int) -> Population | None:
        """(m, genes) every canonical row once, in lexical order of the codes; None where the space has
        more than `limit` codes."""
        size = self.size()
        if size > limit:
            return None
        rows = np.zeros((size, self.genes), np.int64)
        # An array has few axes at most (64 of them), a space may have more genes: those with a choice count.
        chosen = np.flatnonzero(self.cardinalities > 1)
        if len(chosen):
            rows[:, chosen] = np.stack(
                np.unravel_index(np.arange(size), tuple(self.cardinalities[chosen].tolist())), axis=1
            )
        rows = self.canonical(rows)
        _, first = np.unique(self.keys(rows), return_index=True) if self.genes else (None, np.arange(size))
        return rows[np.sort(first)]

    @cached_property
    def narrow(self) -> np.dtype[Any]:
        """Integers that hold every option, short ones where they do: whole populations cost moving memory."""
        return np.dtype(np.uint8 if int(self.cardinalities.max(initial=1)) <= 256 else np.int64)

    def active_layers(self, population: Codes) -> NDArray[np.bool_]:
        """(n, layers) which layers a row has; the others are dropped by a global gene such as depth."""
        active = np.ones((len(population), len(self.layer_genes)), bool)
        for gene, table in self.depth_tables:
            active &= table[population[:, gene]]
        return active

    def count_layers(self, population: Codes) -> NDArray[np.int64]:
        """(n,) how many layers a row has."""
        counts: NDArray[np.int64]
        if len(self.depth_tables) == 1:
            gene, table = self.depth_tables[0]
            counts = table.sum(1)[population[:, gene]]
        else:
            counts = self.active_layers(population).sum(1)
        return counts

    @cached_property
    def depth_tables(self) -> list[tuple[int, NDArray[np.bool_]]]:
        """Global genes that drop layers, each with its (options, layers) table of the layers that it leaves.

        Found by asking `canonical`: under an option that drops a layer, that layer's genes are 0 in
        every one of many random rows.
        """
        if self._canonical is None or not self.layer_genes.size:
            return []
        rows = (np.random.default_rng(0).random((2048, self.genes)) * self.cardinalities).astype(np.int64)
        tables = []
        for gene in self.global_genes.tolist():
            table = []
            for option in range(int(self.cardinalities[gene])):
                rows[:, gene] = option
                table.append(self.canonical(rows)[:, self.layer_genes].any(axis=(0, 2)))
            # A layer whose every gene has one option shows nothing; it then counts as present.
            kept = np.array(table) | ~np.any(table, axis=0)
            if not kept.all():
                tables.append((gene, kept))
        return tables

    def sample(self, n: int, rng: np.random.Generator) -> Population:
        """(n, genes) uniform over the codes, canonical; duplicates possible."""
        return self.canonical((rng.random((n, self.genes)) * self.cardinalities).astype(np.int64))

    def keys(self, population: Population) -> NDArray[np.void]:
        """(n,) one opaque value a row, equal exactly where rows are: for sets, `np.unique`, `np.isin`."""
        rows = np.ascontiguousarray(population.astype(self.narrow))
        return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
