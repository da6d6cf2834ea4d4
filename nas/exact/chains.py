"""Chains: sums over a sequence of positions and over neighbouring positions.

A chain is a sequence of positions, each with options. A choice takes one option for each position; its values
are sums of terms for each position and, where there are any, for each pair of neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOLERANCE", "Chain", "Completions", "Part", "without"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

TOLERANCE = 1e-9
"""Relative difference below which values count as equal."""


@dataclass(frozen=True)
class Chain:
    """Positions with options, and the terms that they add to m values.

    Attributes:
        constant: (m,) added to every choice.
        unary: for each position, (options, m).
        pairs: for each two neighbouring positions, (options, options of the next, m), or None if the two do
            not interact.
    """

    constant: Array
    unary: tuple[Array, ...]
    pairs: tuple[Array | None, ...]

    def __post_init__(self) -> None:
        if len(self.pairs) != max(len(self.unary) - 1, 0):
            raise ValueError(f"{len(self.pairs)} pair terms for {len(self.unary)} positions; one fewer fits")

    def values(self, options: Sequence[int]) -> Array:
        """(m,) of a choice: one option for each position."""
        total = self.constant.copy()
        for table, option in zip(self.unary, options, strict=True):
            total += table[option]
        for pair, here, there in zip(self.pairs, options[:-1], options[1:], strict=True):
            if pair is not None:
                total += pair[here, there]
        return total

    def narrowed(self, columns: Sequence[int]) -> Chain:
        """The chain restricted to these values."""
        chosen = list(columns)
        return Chain(
            self.constant[chosen],
            tuple(table[:, chosen] for table in self.unary),
            tuple(None if pair is None else pair[:, :, chosen] for pair in self.pairs),
        )


@dataclass(frozen=True)
class Part:
    """Some choices of a chain, as a chain of their own.

    Attributes:
        chain: with the options that are left.
        options: for each position, which these are of the whole chain's.
    """

    chain: Chain
    options: tuple[Index, ...]

    def whole(self, choice: Sequence[int]) -> tuple[int, ...]:
        """A choice of the part as one of the whole chain."""
        return tuple(int(left[option]) for left, option in zip(self.options, choice, strict=True))


def without(chain: Chain, excluded: Sequence[Sequence[int]]) -> list[Part]:
    """All choices of a chain but these, as parts without a choice in common (Lawler, 1972): those that differ
    from an excluded one first at some position."""
    whole = tuple(np.arange(len(table)) for table in chain.unary)
    parts = [whole]
    for choice in excluded:
        parts = [left for part in parts for left in _split(part, choice)]
    return [_restricted(chain, part) for part in parts]


def _split(part: tuple[Index, ...], choice: Sequence[int]) -> list[tuple[Index, ...]]:
    if any(option not in options for options, option in zip(part, choice, strict=True)):
        return [part]
    found = []
    for position, option in enumerate(choice):
        others = part[position][part[position] != option]
        if len(others):
            before = tuple(np.array([earlier]) for earlier in choice[:position])
            found.append((*before, others, *part[position + 1 :]))
    return found


def _restricted(chain: Chain, options: tuple[Index, ...]) -> Part:
    pairs = tuple(
        None if pair is None else pair[np.ix_(here, there)]
        for pair, here, there in zip(chain.pairs, options[:-1], options[1:], strict=True)
    )
    unary = tuple(table[left] for table, left in zip(chain.unary, options, strict=True))
    return Part(Chain(chain.constant, unary, pairs), options)


class Completions:
    """Shortest paths along a chain whose values are combined by (m,) weights (Viterbi, 1967).

    Attributes:
        after: for each position, (options,) the least weighted sum of everything after an option.
        total: the least weighted sum of a whole choice, the constant included.
    """

    def __init__(self, chain: Chain, weights: Array) -> None:
        self.weights = weights
        self.costs = [table @ weights for table in chain.unary]
        self._next: list[Index] = []
        self.after: list[Array] = [np.zeros(len(cost)) for cost in self.costs[-1:]]
        pairs: dict[int, Array] = {}  # many neighbours share one table
        for position in range(len(chain.pairs) - 1, -1, -1):
            onward = self.costs[position + 1] + self.after[0]
            pair = chain.pairs[position]
            if pair is None:
                best = np.full(len(self.costs[position]), int(onward.argmin()))
                self.after.insert(0, onward[best])
            else:
                if id(pair) not in pairs:
                    pairs[id(pair)] = pair @ weights
                ways = pairs[id(pair)] + onward
                best = ways.argmin(1)
                self.after.insert(0, np.take_along_axis(ways, best[:, None], 1)[:, 0])
            self._next.insert(0, best)
        self.constant = float(chain.constant @ weights)
        whole = self.costs[0] + self.after[0] if self.costs else np.zeros(1)
        self._first = int(whole.argmin())
        self.total = self.constant + float(whole[self._first])

    @property
    def path(self) -> list[int]:
        """The choice with the least weighted sum."""
        options = [self._first] if self.costs else []
        for onward in self._next:
            options.append(int(onward[options[-1]]))
        return options
