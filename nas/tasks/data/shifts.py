"""Images moved a little: what does not change what they show."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["shifted"]


def shifted(images: NDArray[Any], most: int, rng: np.random.Generator) -> NDArray[Any]:
    """(B, C, H, W), each moved by up to so many pixels along either side; what comes in repeats the edge."""
    if not most:
        return images
    height, width = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)), mode="edge")
    down, right = rng.integers(2 * most + 1, size=(2, len(images)))
    rows = down[:, None, None] + np.arange(height)[:, None]
    columns = right[:, None, None] + np.arange(width)
    examples = np.arange(len(images))[:, None, None]
    # Indices around a slice put its axis last.
    return np.moveaxis(padded[examples, :, rows, columns], -1, 1)
