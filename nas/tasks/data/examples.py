"""Labelled examples, and how they are divided."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset", "Examples", "held_out"]


@dataclass(frozen=True)
class Examples:
    """Inputs and the class of each.

    Attributes:
        inputs: (n, C, H, W) images or (n, C, N) series, float32; (n, N) tokens, int64.
        labels: (n,) int64, from 0.
        lengths: (n,) int64, how much of each series is there, zeros follow; None where all of it is.
    """

    inputs: NDArray[np.float32] | NDArray[np.int64]
    labels: NDArray[np.int64]
    lengths: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Those of these rows, in this order."""
        lengths = None if self.lengths is None else self.lengths[rows]
        return Examples(self.inputs[rows], self.labels[rows], lengths)

    def sha256(self) -> str:
        """Of every number."""
        content = hashlib.sha256(repr((self.inputs.shape, self.inputs.dtype.str)).encode())
        for numbers in (self.inputs, self.labels, self.lengths):
            if numbers is not None:
                content.update(np.ascontiguousarray(numbers).tobytes())
        return content.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Examples divided for good.

    Attributes:
        classes: what each label stands for.
        train: what is learned from.
        validation: what a search sees.
        test: what only `verify` sees.
    """

    classes: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples

    @classmethod
    def divided(
        cls,
        classes: tuple[str, ...],
        examples: Examples,
        validation: float,
        test: float | Examples,
    ) -> Dataset:
        """By class, at random but always alike; of a class of three or more, some are in each part.

        Args:
            validation: share of what is no test.
            test: share of all, or examples that lie apart already.
        """
        if not isinstance(test, Examples):
            kept, rows = held_out(examples.labels, test, seed=1, fewest=2)
            examples, test = examples.take(kept), examples.take(rows)
        kept, rows = held_out(examples.labels, validation, seed=2)
        return cls(classes, examples.take(kept), examples.take(rows), test)


def held_out(
    labels: NDArray[np.int64], share: float, seed: int, fewest: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are kept and that are held out, both in order: of each class that share, one at least, and
    so few that `fewest` are kept where there are more."""
    rng = np.random.default_rng(seed)
    out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = max(1, min(round(share * len(rows)), len(rows) - fewest))
        out[rng.permutation(rows)[:count]] = True
    return np.flatnonzero(~out), np.flatnonzero(out)
