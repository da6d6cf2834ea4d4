"""Ranking by constraint domination (Deb et al., 2002, NSGA-II), on values where smaller is better."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import NDArray

__all__ = ["best_first", "constrained_rank", "crowding"]

Vector = NDArray[np.float64]


def constrained_rank(values: NDArray[np.float64], violation: Vector) -> NDArray[np.int64]:
    """(n,) ranks, 0 for the best. Feasible candidates are ranked by non-dominated sorting; infeasible ones
    come after them by increasing violation, failed ones (violation inf) last.

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
        # One sort for all ranks: within a rank by value, values scaled into [0, 1).
        least = column.min(initial=np.inf)
        scaled = (column - least) / (1.0000001 * (column.max(initial=-np.inf) - least) or 1.0)
        order = np.argsort(rank + scaled)
        ordered, group = scaled[order], rank[order]
        gap = np.full(len(order), np.inf)
        inner = np.flatnonzero((group[2:] == group[1:-1]) & (group[:-2] == group[1:-1])) + 1
        gap[inner] = ordered[inner + 1] - ordered[inner - 1]
        distance[order] += gap
    return distance


def best_first(values: NDArray[np.float64], violation: Vector, count: int | None = None) -> NDArray[np.int64]:
    """The order of candidates by rank, and within a rank by crowding distance, the loneliest first.

    Args:
        count: only the so many first are wanted, which spares sorting the rest.
    """
    rank = constrained_rank(values, violation)
    chosen = np.arange(len(rank))
    if count is not None and count < len(rank):
        chosen = np.flatnonzero(rank <= np.partition(rank, count - 1)[count - 1])
    values, rank = values[chosen], rank[chosen]
    distance = crowding(np.where(np.isfinite(values), values, 0.0), rank)
    return chosen[np.lexsort((-distance, rank))[:count]]
