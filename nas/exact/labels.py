"""Labels: partial choices along a chain, extended position by position.

Two ideas make it fast:

- the Lagrangian dual, a shortest path whose arcs also pay for resources, bounds from below what any
  completion of a label can cost; its prices are found by cutting planes (Kelley, 1960);
- labels are dropped if they cannot meet the bounds, cannot beat the incumbent, or are dominated. If too many
  are left, those with the worst bounds are dropped too; the least of their bounds remains a valid lower
  bound.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import moocore
import numpy as np
from numpy.typing import NDArray

from nas.exact.chains import TOLERANCE, Chain, Completions
from nas.exact.prices import best_prices

__all__ = ["LabelSearch", "slack"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

FEW_VALUES = 3
"""Values of a label up to which finding dominated labels costs less than keeping them."""
FACTORS: Index = np.random.default_rng(0).integers(-(2**63), 2**63, 64) | 1
"""Factors of a multiplicative hash of a label's values."""
PERTURBED = (0.7, 1.4)
"""Factors on each price: near the end of a chain, other prices than the best overall give tighter bounds."""


def slack(value: float) -> float:
    """By how much smaller a value must be to count as better; 0 if it is infinite."""
    return TOLERANCE * abs(value) if np.isfinite(value) else 0.0


class LabelSearch:
    """Minimises the first value of a chain, the others within bounds (r,).

    Attributes:
        least: proved lower bound of the value of any choice not yet found.
        priced: whether the dual was solved.
        widths: labels kept for each position, in each successive sweep; the search ends with the first that
            drops no label that could be better.
        sweeps: number of sweeps so far.
    """

    widths: ClassVar[tuple[int, ...]] = (100, 1_000, 10_000, 100_000, 400_000)

    def __init__(self, chain: Chain, bounds: Array) -> None:
        self.chain = chain
        self._bounds = bounds + TOLERANCE * np.abs(bounds)
        self.priced = False
        self.sweeps = 0
        self.least = -np.inf
        resources = [self._completions(unit) for unit in np.eye(len(bounds) + 1)[1:]]
        if any(completion.total > bound for completion, bound in zip(resources, self._bounds, strict=True)):
            self.least, self.priced = np.inf, True
        self._needs = resources
        self.bound_by(np.zeros(len(bounds)))

    @property
    def exhausted(self) -> bool:
        """Whether no sweep is left."""
        return self.sweeps == len(self.widths)

    def _completions(self, weights: Array) -> Completions:
        return Completions(self.chain, weights)

    def bound_by(self, prices: Array) -> None:
        """Raise the lower bound to the dual's value at these (r,) prices."""
        total = self._completions(np.concatenate([[1.0], prices])).total
        self.least = max(self.least, total - float(prices @ self._bounds))

    def price(self) -> Array:
        """Maximise the dual; returns its (r,) prices."""
        self.priced = True

        def shortest(prices: Array) -> Array:
            return self.chain.values(self._completions(np.concatenate([[1.0], prices])).path)

        prices, least = best_prices(shortest, self._bounds, self._most)
        self.least = max(self.least, least)
        if np.isfinite(self.least):
            varied = [prices]
            for factor in PERTURBED:
                varied.append(factor * prices)
                varied += [
                    np.where(np.arange(len(prices)) == i, factor, 1.0) * prices for i in range(len(prices))
                ]
            self._duals = [_Dual(self.chain, p, self._bounds) for p in np.unique(varied, axis=0)]
            self._duals.sort(key=lambda dual: -dual.least)
        return prices

    @cached_property
    def _most(self) -> float:
        """The greatest value of any choice: a dual above it proves that none meets the bounds."""
        return -self._completions(np.eye(len(self._bounds) + 1)[0] * -1.0).total

    def sweep(self, incumbent: float) -> tuple[tuple[int, ...] | None, int]:
        """One pass over the chain, wider than the one before.

        Returns:
            The best choice found with a value below the incumbent, or None; and the number of labels seen.
        """
        width = self.widths[self.sweeps]
        self.sweeps += 1
        limit = incumbent - slack(incumbent)
        totals = self.chain.constant[None]
        last = np.zeros(1, np.int64)
        steps: list[tuple[Index, Index]] = []
        dropped, seen = np.inf, 0
        for position in range(len(self.chain.unary)):
            seen += len(totals)
            parents, options, totals, bound = self._grown(position, totals, last, limit)
            seen += len(options)
            if len(options) > width:
                kept = self._distinct(position, options, totals)
                parents, options, totals, bound = parents[kept], options[kept], totals[kept], bound[kept]
            if len(options) > width:
                order = np.argpartition(bound, width)
                dropped = min(dropped, float(bound[order[width:]].min()))
                kept = order[:width]
                parents, options, totals = parents[kept], options[kept], totals[kept]
            steps.append((parents, options))
            last = options
        found, reached = None, limit
        if len(totals) and totals[:, 0].min() < limit:
            row = int(totals[:, 0].argmin())
            reached = float(totals[row, 0])
            found = tuple(_traced(steps, row))
        self.least = max(self.least, min(dropped, reached))
        return found, seen

    def _grown(
        self, position: int, totals: Array, last: Index, limit: float
    ) -> tuple[Index, Index, Array, Array]:
        """Every label extended by every option of the next position that may still lead below the limit: its
        parent, its option, its totals (n, 1 + r) and the lower bound of its completions."""
        first, *others = self._duals
        table = self.chain.unary[position]
        options = np.flatnonzero(first.detours[position] < limit - first.least)
        pair = self.chain.pairs[position - 1] if position else None
        bound = (totals @ first.weights)[:, None] + first.reach[position][options]
        if pair is not None:
            bound = bound + (pair[:, options] @ first.weights)[last]
        parents, chosen = np.nonzero(bound < limit)
        bounds = bound[parents, chosen]
        options = options[chosen]
        grown = totals[parents] + table[options]
        if pair is not None:
            grown += pair[last[parents], options]
        allowed = np.ones(len(grown), bool)
        for column, (need, most) in enumerate(zip(self._needs, self._bounds, strict=True), 1):
            allowed &= grown[:, column] + need.after[position][options] <= most
        for dual in others:
            bounds = np.maximum(bounds, grown @ dual.weights + dual.after[position][options])
        allowed &= bounds < limit
        return parents[allowed], options[allowed], grown[allowed], bounds[allowed]

    def _distinct(self, position: int, options: Index, totals: Array) -> Index:
        """Labels to keep among those with the same completions: non-dominated ones if they have few values,
        else one of each group with equal values (such as two layers swapped)."""
        unit = TOLERANCE * np.maximum(np.abs(totals).max(0), 1e-300)
        rounded = np.rint(totals / unit)
        bound_to_last = position < len(self.chain.pairs) and self.chain.pairs[position] is not None
        groups = _groups(options) if bound_to_last else [np.arange(len(options))]
        if totals.shape[1] > FEW_VALUES:
            keys = (rounded.astype(np.int64) * FACTORS[: totals.shape[1]]).sum(1)
            return np.concatenate([rows[np.unique(keys[rows], return_index=True)[1]] for rows in groups])
        return np.concatenate(
            [rows[moocore.is_nondominated(rounded[rows], keep_weakly=False)] for rows in groups]
        )


def _groups(keys: Index) -> list[Index]:
    """Indices of equal keys, group by group."""
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)


def _traced(steps: list[tuple[Index, Index]], row: int) -> list[int]:
    options = []
    for parents, chosen in reversed(steps):
        options.append(int(chosen[row]))
        row = int(parents[row])
    return options[::-1]


class _Dual:
    """Lower bounds of the completions of labels, from the dual at given prices.

    Attributes:
        weights: (1 + r,) of the values: 1, then the prices.
        least: lower bound of the value of any choice within the bounds.
        reach: for each position, (options,) what to add to a label's weighted totals to bound its completions
            through an option.
        after: the same with the option counted in the totals.
        detours: for each position, (options,) by how much the best choice with an option exceeds `least`.
    """

    def __init__(self, chain: Chain, prices: Array, bounds: Array) -> None:
        self.weights = np.concatenate([[1.0], prices])
        completions = Completions(chain, self.weights)
        paid = float(prices @ bounds)
        self.least = completions.total - paid
        self.after = [after - paid for after in completions.after]
        self.reach = [cost + after for cost, after in zip(completions.costs, self.after, strict=True)]
        self.detours = []
        before = np.full(len(completions.costs[0]) if completions.costs else 1, completions.constant)
        for position, reach in enumerate(self.reach):
            self.detours.append(before + reach - self.least)
            if position < len(chain.pairs):
                so_far = before + completions.costs[position]
                pair = chain.pairs[position]
                following = len(completions.costs[position + 1])
                if pair is None:
                    before = np.full(following, so_far.min())
                else:
                    before = (so_far[:, None] + pair @ self.weights).min(0)
