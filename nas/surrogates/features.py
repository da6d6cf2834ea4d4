"""What a surrogate of quality sees of an architecture: options, where they stand, and their neighbours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from searchspaces.encoding import Encoding, Population

__all__ = ["StructureFeatures"]

Matrix = NDArray[np.float64]

BUMPS = 5
"""Soft positions along the relative depth of a network."""


class StructureFeatures:
    """Maps populations to named blocks of features, each a matrix (n, ·).

    Blocks, where a space has layers and global genes:

    - ``globals``: one-hot of each global gene;
    - ``counts``: how many present layers use each option of each layer gene;
    - ``returns``: log(1 + count), since the tenth layer of a kind adds less than the first;
    - ``zones``: the same of counts weighted by `BUMPS` soft positions along relative depth, so that what
      is learned of a middle layer holds for every depth;
    - ``layers``: one-hot of each layer's options, by absolute position;
    - ``blocks``: counts of each pair of options of two genes of one layer;
    - ``neighbours``: counts of each ordered pair of options of one gene in two layers in a row.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._globals = [int(g) for g in encoding.global_genes if encoding.cardinalities[g] > 1]
        columns = encoding.layer_genes
        sizes = (
            encoding.cardinalities[columns].max(axis=0, initial=1) if columns.size else np.empty(0, np.int64)
        )
        self._genes = [(g, int(size)) for g, size in enumerate(sizes) if size > 1]

    def blocks(self, population: Population) -> dict[str, Matrix]:
        """Every block by name; blocks that the space does not have are absent."""
        found: dict[str, Matrix] = {}
        if self._globals:
            sizes = self._encoding.cardinalities
            found["globals"] = np.concatenate(
                [np.eye(int(sizes[g]))[population[:, g]] for g in self._globals], axis=1
            )
        if not self._genes:
            return found
        layers = len(self._encoding.layer_genes)
        active = self._encoding.active_layers(population)
        options = population[:, self._encoding.layer_genes]
        one_hot = [np.eye(size)[options[:, :, gene]] * active[:, :, None] for gene, size in self._genes]
        slots = np.concatenate(one_hot, axis=2)
        found["counts"] = slots.sum(axis=1)
        found["returns"] = np.log1p(found["counts"])
        found["zones"] = _flat(np.log1p(np.einsum("nls,nlb->nbs", slots, self._bumps(active))))
        found["layers"] = _flat(slots)
        if len(one_hot) > 1:
            pairs = [(a, b) for i, a in enumerate(one_hot) for b in one_hot[:i]]
            found["blocks"] = np.concatenate([_count(a, b) for a, b in pairs], axis=1)
        if layers > 1:
            found["neighbours"] = np.concatenate([_count(a[:, :-1], a[:, 1:]) for a in one_hot], axis=1)
        return found

    def _bumps(self, active: NDArray[np.bool_]) -> Matrix:
        """(n, layers, BUMPS) how much each layer belongs to each zone: linear interpolation over depth."""
        depth = active.sum(1, keepdims=True)
        rank = np.cumsum(active, axis=1) - 0.5
        place = rank / np.maximum(depth, 1) * (BUMPS - 1)
        return np.maximum(0.0, 1.0 - np.abs(place[:, :, None] - np.arange(BUMPS)))


def _count(a: Matrix, b: Matrix) -> Matrix:
    """(n, p·q) how often each pair of options of (n, layers, p) and (n, layers, q) meets in a layer."""
    return _flat(np.matmul(a.transpose(0, 2, 1), b))


def _flat(x: Matrix) -> Matrix:
    """(n, …) → (n, the product of the rest), for n = 0 too."""
    return x.reshape(len(x), math.prod(x.shape[1:]))
