"""Whether two scores order models alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

__all__ = ["agreement", "upper_half"]

Vector = NDArray[np.float64]


def upper_half(truth: Vector) -> NDArray[np.int64]:
    """Rows of the better half of (n,) minimised values, the middle one of an odd number among them."""
    return np.argsort(truth, kind="stable")[: (len(truth) + 1) // 2]


def agreement(score: Vector, truth: Vector, upper: NDArray[np.int64]) -> dict[str, float | None]:
    """Kendall's tau-b and Spearman's rho of (n,) scores with the truth, over all and over the rows `upper`;
    None where one of both is the same for all."""

    def number(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    def both(rows: Any, suffix: str) -> dict[str, float | None]:
        if np.ptp(score[rows]) == 0 or np.ptp(truth[rows]) == 0:
            return {f"tau{suffix}": None, f"spearman{suffix}": None}
        return {
            f"tau{suffix}": number(kendalltau(score[rows], truth[rows])[0]),
            f"spearman{suffix}": number(spearmanr(score[rows], truth[rows])[0]),
        }

    return {**both(slice(None), ""), **both(upper, "_upper")}
