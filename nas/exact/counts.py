"""Counts: how often each option is chosen, for chains of alike positions.

If all positions add the same to every bounded value, and neighbours do not interact, the bounds constrain
only how often each option is chosen. Then only these counts need be integer: which position takes which
option is a transportation problem (Hitchcock, 1941), whose linear program has integral solutions. An integer
program of 16 counts replaces one of 80 × 16 choices, with its many solutions that differ by a swap.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp
from scipy.sparse import coo_array

from nas.exact.chains import TOLERANCE, Chain
from nas.exact.labels import LabelSearch, slack

__all__ = ["CountSearch", "are_alike"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

FINEST = 1e3
"""Largest coefficient of a row after scaling; the solver's tolerance is 1e-6."""
NODES = 2_000
"""Most nodes of the integer program's branch and bound."""
INFEASIBLE = 2
"""Status of SciPy's solver."""


def are_alike(chain: Chain) -> bool:
    """Whether there are much fewer kinds of positions than positions."""
    return len(chain.unary) >= 2 * len(set(_kinds(chain).tolist()))


class CountSearch(LabelSearch):
    """A label search whose last sweep is an integer program over counts instead of a wider pass."""

    widths: ClassVar[tuple[int, ...]] = (100, 1_000)

    @property
    def exhausted(self) -> bool:
        """See `LabelSearch.exhausted`."""
        return self.sweeps > len(self.widths)

    def sweep(self, incumbent: float) -> tuple[tuple[int, ...] | None, int]:
        """See `LabelSearch.sweep`."""
        if self.sweeps < len(self.widths):
            return super().sweep(incumbent)
        self.sweeps += 1
        options, least, work = _least_by_counts(self.chain, self._bounds)
        self.least = max(self.least, least)
        if options is None:
            return None, work
        value, *used = self.chain.values(options)
        # The solver has its own tolerance.
        better = value < incumbent - slack(incumbent) and (used <= self._bounds).all()
        return options if better else None, work


def _kinds(chain: Chain) -> Index:
    """(positions,) the kind of each: equal for positions that add the same, up to rounding, to all values but
    the first; every position is a kind of its own if neighbours interact."""
    if not chain.unary or any(pair is not None for pair in chain.pairs):
        return np.arange(len(chain.unary))
    tables = [table[:, 1:] for table in chain.unary]
    largest = np.max([np.abs(table).max(0) for table in tables], axis=0)
    unit = TOLERANCE * np.where(largest > 0, largest, 1.0)
    numbers: dict[bytes, int] = {}
    rounded = [np.rint(table / unit).astype(np.int64).tobytes() for table in tables]
    return np.array([numbers.setdefault(key, len(numbers)) for key in rounded])


def _least_by_counts(chain: Chain, bounds: Array) -> tuple[tuple[int, ...] | None, float, int]:
    """Minimise the first value with the others within bounds (r,).

    Returns:
        The choice, or None; a lower bound of the value; and the work done, in coefficients.
    """
    kind = _kinds(chain)
    options = np.array([len(chain.unary[first]) for first in np.unique(kind, return_index=True)[1]])
    starts = np.concatenate([[0], np.cumsum(options)])  # of each kind's counts
    sizes = [len(table) for table in chain.unary]
    position = np.repeat(np.arange(len(sizes)), sizes)
    count = np.concatenate([starts[k] + np.arange(options[k]) for k in kind])
    values = np.concatenate(chain.unary)
    _, first = np.unique(count, return_index=True)
    used = values[first, 1:]
    choices, counts = len(position), len(first)
    # Variables: for each position the share of each option; then for each kind the count of each option.
    each = np.arange(choices)
    once = coo_array((np.ones(choices), (position, each)), shape=(len(sizes), choices + counts))
    balance = coo_array(
        (
            np.concatenate([np.ones(choices), -np.ones(counts)]),
            (np.concatenate([count, np.arange(counts)]), np.arange(choices + counts)),
        )
    )
    finest = FINEST / np.maximum(np.abs(used).max(0), 1e-300)
    most = (bounds - chain.constant[1:]) * finest
    within = np.hstack([np.zeros((len(bounds), choices)), (used * finest).T])
    scale = FINEST / max(np.abs(values[:, 0]).max(), 1e-300)
    found = milp(
        np.concatenate([values[:, 0] * scale, np.zeros(counts)]),
        integrality=np.repeat([0, 1], [choices, counts]),
        bounds=Bounds(0.0, np.concatenate([np.ones(choices), np.full(counts, len(sizes))])),
        constraints=[
            LinearConstraint(once, 1, 1),
            LinearConstraint(balance, 0, 0),
            LinearConstraint(within, -np.inf, most),
        ],
        options={"node_limit": NODES, "mip_rel_gap": TOLERANCE},
    )
    if found.status == INFEASIBLE:
        return None, np.inf, choices
    work = choices * max(1, found.mip_node_count or 0)
    least = -np.inf if found.mip_dual_bound is None else chain.constant[0] + found.mip_dual_bound / scale
    if found.x is None:
        return None, least, work
    chosen = np.rint(found.x[choices:]).astype(np.int64)
    return _assigned(chain, kind, [chosen[start:end] for start, end in pairwise(starts)]), least, work


def _assigned(chain: Chain, kind: Index, counts: list[Index]) -> tuple[int, ...]:
    """The choice with the least first value, given how often each option occurs among positions of a kind."""
    choice = np.empty(len(kind), np.int64)
    for number, count in enumerate(counts):
        places = np.flatnonzero(kind == number)
        offered = np.repeat(np.arange(len(count)), count)
        cost = np.stack([chain.unary[place][offered, 0] for place in places])
        rows, columns = linear_sum_assignment(cost)
        choice[places[rows]] = offered[columns]
    return tuple(choice.tolist())
