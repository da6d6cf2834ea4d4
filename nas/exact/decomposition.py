"""An encoding as chains: its layers, their options, and how functions add up over them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nas.exact.chains import Chain
from searchspaces.encoding import Encoding, Population

__all__ = ["Decomposition"]

Array = NDArray[np.float64]
Function = Callable[[Population], Array]
"""(n, genes) → (n, m)."""

MOST_SETTINGS = 1024
MOST_OPTIONS = 4096
ROUNDING = 1e-12
"""Relative difference below which two values differ by rounding alone."""
SURROUNDINGS = 8
"""Random networks in which equivalent options of a layer are detected."""
AT_ONCE = 8192
"""Rows for which a function is called at once."""


class Decomposition:
    """An encoding as chains: one for each setting of its global genes, with a position for each layer
    present.

    Global genes may change what a layer adds (width) or whether it is present (depth), so that each of their
    combinations, a setting, needs a chain of its own. The options of a layer are the combinations of its
    genes, equivalent ones once. In an encoding without layers every gene is a position.

    Attributes:
        encoding: that is decomposed.
        settings: (settings, global genes).
        present: (settings, layers) which layers a setting has.
        options: for each layer, (options, genes of a layer).

    Raises:
        ValueError: there are too many settings, or options of a layer, to enumerate.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        columns = encoding.layer_genes
        if not len(columns):
            columns = np.arange(encoding.genes)[:, None]
        self._columns = columns
        self._globals = np.setdiff1d(np.arange(encoding.genes), columns.ravel())
        self._droppers = {gene for gene, _ in encoding.depth_tables}
        sizes = encoding.cardinalities[self._globals].tolist()
        if np.prod([1.0, *sizes]) > MOST_SETTINGS:
            raise ValueError(f"{np.prod(sizes):g} settings of the global genes; at most {MOST_SETTINGS}")
        written = list(itertools.product(*map(range, sizes)))
        self.settings: Population = np.array(written, np.int64).reshape(len(written), len(sizes))
        rows = np.zeros((len(self.settings), encoding.genes), np.int64)
        rows[:, self._globals] = self.settings
        self.present = (
            encoding.active_layers(rows)
            if encoding.layer_genes.size
            else np.ones((len(rows), len(columns)), bool)
        )
        self._whole = [n for n in range(len(rows)) if self.present[n].all()]
        if not self._whole:
            raise ValueError("no setting of the global genes has every layer")
        self.options = [self._options_of(layer) for layer in range(len(columns))]

    def _options_of(self, layer: int) -> Population:
        """(options, genes of a layer) in lexical order, without those equivalent in every network."""
        columns = self._columns[layer]
        sizes = self.encoding.cardinalities[columns].tolist()
        if np.prod([1.0, *sizes]) > MOST_OPTIONS:
            raise ValueError(f"{np.prod(sizes):g} options of one layer; at most {MOST_OPTIONS}")
        written = np.array(list(itertools.product(*map(range, sizes))), np.int64)
        surroundings = self.encoding.sample(SURROUNDINGS, np.random.default_rng(0))
        surroundings[:, self._globals] = self.settings[self._whole[0]]
        seen = []
        for surrounding in surroundings:
            rows = np.repeat(surrounding[None], len(written), 0)
            rows[:, columns] = written
            seen.append(self.encoding.canonical(rows)[:, columns])
        _, first = np.unique(np.concatenate(seen, axis=1), axis=0, return_index=True)
        return written[np.sort(first)]

    def row(self, setting: int, options: Sequence[int]) -> NDArray[np.int64]:
        """(genes,) canonical row of a setting and one option for each layer that it has."""
        row = np.zeros((1, self.encoding.genes), np.int64)
        row[0, self._globals] = self.settings[setting]
        for layer, option in zip(np.flatnonzero(self.present[setting]), options, strict=True):
            row[0, self._columns[layer]] = self.options[layer][option]
        return self.encoding.canonical(row)[0]

    def choices(self, population: Population) -> list[tuple[int, list[int]]]:
        """(setting, options) of each canonical row: the inverse of `row`."""
        places = {tuple(setting): n for n, setting in enumerate(self.settings.tolist())}
        known = [{tuple(option): n for n, option in enumerate(options.tolist())} for options in self.options]
        found = []
        for row in population:
            setting = places[tuple(row[self._globals].tolist())]
            layers = np.flatnonzero(self.present[setting]).tolist()
            found.append(
                (setting, [known[layer][tuple(row[self._columns[layer]].tolist())] for layer in layers])
            )
        return found

    def chains(self, function: Function) -> list[Chain]:
        """The chain of each setting. Its values equal the function's if, for given global genes other than
        those that drop layers, the function is a sum over layers and, gene by gene, over neighbouring layers.

        The function is called for few rows only: those that differ from a base row by one layer, or by one
        gene of each of two neighbours.
        """
        asked = _Asked(self.encoding)
        bases = [asked.ask(self._base(setting)[None]) for setting in range(len(self.settings))]
        whole = {self._width(n): n for n in reversed(self._whole)}
        alone = {width: self._ask_alone(asked, n) for width, n in whole.items()}
        together = {width: self._ask_together(asked, n) for width, n in whole.items()}
        edges = [
            {layer: asked.ask(self._varied(n, layer)) for layer in self._edges(n)}
            for n in range(len(self.settings))
        ]
        values = asked.answers(function)
        pairs = {
            width: self._pairs(values, together[width], values[bases[n]][0]) for width, n in whole.items()
        }
        chains = []
        for n in range(len(self.settings)):
            base, width = values[bases[n]][0], self._width(n)
            of_whole = values[bases[whole[width]]][0]
            layers = np.flatnonzero(self.present[n]).tolist()
            unary = [
                values[edges[n][layer]] - base
                if layer in edges[n]
                else values[alone[width][layer]] - of_whole
                for layer in layers
            ]
            between = [pairs[width][a] if b == a + 1 else None for a, b in itertools.pairwise(layers)]
            chains.append(Chain(base, tuple(unary), tuple(between)))
        return chains

    def _width(self, setting: int) -> tuple[int, ...]:
        """The options of the global genes that drop no layers."""
        return tuple(
            option
            for gene, option in zip(self._globals.tolist(), self.settings[setting].tolist(), strict=True)
            if gene not in self._droppers
        )

    def _edges(self, setting: int) -> list[int]:
        """Layers that lack a neighbour which they have in a network of full depth."""
        present = np.pad(self.present[setting], 1, constant_values=True)
        return np.flatnonzero(present[1:-1] & ~(present[:-2] & present[2:])).tolist()

    @cached_property
    def _base_genes(self) -> list[NDArray[np.int64]]:
        """For each layer, the option most of whose genes can be changed alone, the others staying active."""
        found = []
        for layer, options in enumerate(self.options):
            columns = self._columns[layer]
            rows, wanted, owner = [], [], []
            for n, option in enumerate(options):
                for place, column in enumerate(columns.tolist()):
                    for value in range(int(self.encoding.cardinalities[column])):
                        changed = option.copy()
                        changed[place] = value
                        rows.append(changed)
                        wanted.append(changed)
                        owner.append(n)
            written = np.zeros((len(rows), self.encoding.genes), np.int64)
            written[:, self._globals] = self.settings[self._whole[0]]
            written[:, columns] = np.array(rows)
            kept = (self.encoding.canonical(written)[:, columns] == np.array(wanted)).all(1)
            found.append(options[int(np.bincount(owner, kept).argmax())])
        return found

    def _base(self, setting: int) -> NDArray[np.int64]:
        row = np.zeros(self.encoding.genes, np.int64)
        row[self._globals] = self.settings[setting]
        for columns, genes in zip(self._columns, self._base_genes, strict=True):
            row[columns] = genes
        return row

    def _varied(self, setting: int, layer: int) -> Population:
        rows = np.repeat(self._base(setting)[None], len(self.options[layer]), 0)
        rows[:, self._columns[layer]] = self.options[layer]
        return rows

    def _ask_alone(self, asked: _Asked, setting: int) -> list[slice]:
        return [asked.ask(self._varied(setting, layer)) for layer in range(len(self.options))]

    def _ask_together(self, asked: _Asked, setting: int) -> list[list[tuple[slice, slice, slice]]]:
        """For each two neighbouring layers and each gene: the rows with both, the first, the second
        changed."""
        base = self._base(setting)
        found = []
        for here, there in itertools.pairwise(self._columns.tolist()):
            of_genes = []
            for a, b in zip(here, there, strict=True):
                first, second = (int(self.encoding.cardinalities[gene]) for gene in (a, b))
                both = np.repeat(base[None], first * second, 0)
                both[:, a], both[:, b] = np.divmod(np.arange(first * second), second)
                left, right = np.repeat(base[None], first, 0), np.repeat(base[None], second, 0)
                left[:, a], right[:, b] = np.arange(first), np.arange(second)
                of_genes.append((asked.ask(both), asked.ask(left), asked.ask(right)))
            found.append(of_genes)
        return found

    def _pairs(
        self, values: Array, together: list[list[tuple[slice, slice, slice]]], base: Array
    ) -> list[Array | None]:
        """(options, options of the next layer, m) for each two neighbouring layers; None if all are 0."""
        tables: list[Array | None] = []
        for layer, of_genes in enumerate(together):
            here, there = self.options[layer], self.options[layer + 1]
            total = np.zeros((len(here), len(there), len(base)))
            for place, (both, left, right) in enumerate(of_genes):
                first, second = values[left], values[right]
                joint = values[both].reshape(len(first), len(second), -1)
                extra = joint - first[:, None] - second[None] + base
                extra[np.abs(extra) <= ROUNDING * np.abs(base)] = 0.0
                total += extra[here[:, place]][:, there[:, place]]
            tables.append(total if total.any() else None)
        return tables


class _Asked:
    """Collects rows, to call a function for all of them at once."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._rows: list[Population] = []
        self._count = 0

    def ask(self, rows: Population) -> slice:
        """Where these rows' values will be."""
        self._rows.append(rows)
        self._count += len(rows)
        return slice(self._count - len(rows), self._count)

    def answers(self, function: Function) -> Array:
        """(asked, m)."""
        rows = self._encoding.canonical(np.concatenate(self._rows))
        starts = range(0, len(rows), AT_ONCE)
        return np.concatenate([function(rows[start : start + AT_ONCE]) for start in starts])
