"""Ranking by constraint domination (Deb et al., 2002, NSGA-II), on values where smaller is better."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import NDArray

__all__ = ["best_first", "constrained_rank", "crowding"]

Vector = NDArray[np.float64]


def constrained_rank(values: NDArray[np.float64], violation: Vector) -> NDArray[np.int64]:
    """(n,) 0 for the best. Feasible candidates are ranked by non-dominated sorting; every infeasible one
    comes after them, the smaller its violation the earlier; failed ones (violation inf) last.

    Args:
        values: (n, m), finite where the violation is.
        violation: (n,) 0 where feasible.
    """
    feasible = violation == 0
    if feasible.all():
        return np.asarray(moocore.pareto_rank(values), np.int64) if len(values) else np.empty(0, np.int64)
    rank = np.empty(len(values), np.int64)
    rank[feasible] = moocore.pareto_rank(values[feasible]) if feasible.any() else 0
    after = int(rank[feasible].max(initial=-1)) + 1
    rank[~feasible] = after + np.unique(violation[~feasible], return_inverse=True)[1]
    return rank


def crowding(values: NDArray[np.float64], rank: NDArray[np.int64]) -> Vector:
    """(n,) crowding distance of each candidate among those of its rank; infinite at the extremes."""
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.lexsort((column, rank))
        ordered, group = column[order], rank[order]
        span = np.ptp(ordered) or 1.0
        gap = np.full(len(order), np.inf)
        inner = (group[2:] == group[1:-1]) & (group[:-2] == group[1:-1])
        gap[1:-1][inner] = (ordered[2:] - ordered[:-2])[inner] / span
        distance[order] += gap
    return distance


def best_first(values: NDArray[np.float64], violation: Vector) -> NDArray[np.int64]:
    """(n,) the order of candidates by rank, and within a rank by crowding distance, the loneliest first."""
    rank = constrained_rank(values, violation)
    distance = crowding(np.where(np.isfinite(values), values, 0.0), rank)
    return np.lexsort((-distance, rank))
