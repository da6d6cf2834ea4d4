"""What every strategy of ours shares: seeds first, no duplicates, exhaustion, a state of plain data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.strategies.ledger import Ledger
from nas.strategies.plain import generator_from, generator_state
from nas.strategies.strategy import Problem, Strategy
from searchspaces.encoding import Population

__all__ = ["RecordedStrategy"]

ENUMERABLE = 200_000
"""Spaces of at most this many codes are enumerated when random draws find nothing new."""


class RecordedStrategy(Strategy):
    """Keeps a ledger of candidates and one random generator; a subclass proposes.

    Whatever `_propose` returns is reduced to candidates that are not taken, and topped up by random
    ones; `ask` gives fewer than asked exactly where no candidate is left.
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        self.ledger = Ledger(problem.encoding, len(problem.objectives))
        self.rng = np.random.Generator(np.random.PCG64(seed))

    @abstractmethod
    def _propose(self, n: int) -> Population:
        """(m, genes) canonical candidates, best first; any m, taken ones and duplicates allowed."""

    def _learn(self, positions: NDArray[np.int64]) -> None:
        """Take note of the values that were just entered into the ledger at these positions."""

    def ask(self, n: int) -> Population:
        """See `Strategy.ask`."""
        chosen = self._empty() if self.problem.seeds is None else self.ledger.claim(self.problem.seeds, n)
        if len(chosen) < n:
            proposed = self._propose(n - len(chosen))
            chosen = np.concatenate([chosen, self.ledger.claim(proposed, n - len(chosen))])
        if len(chosen) < n:
            chosen = np.concatenate([chosen, self._unexplored(n - len(chosen))])
        return chosen

    def tell(self, population: ArrayLike, values: ArrayLike) -> None:
        """See `Strategy.tell`.

        Raises:
            ValueError: the shapes do not fit the problem's genes and objectives.
        """
        rows = np.asarray(population, np.int64)
        told = np.asarray(values, float)
        if rows.shape[1:] != (self.problem.encoding.genes,) or told.shape != (
            len(rows),
            len(self.problem.objectives),
        ):
            raise ValueError(
                f"population {rows.shape} and values {told.shape}; accepted: "
                f"(n, {self.problem.encoding.genes}) and (n, {len(self.problem.objectives)})"
            )
        self._learn(self.ledger.tell(rows, told))

    def state(self) -> dict[str, Any]:
        """See `Strategy.state`."""
        return {"rng": generator_state(self.rng)}

    def news(self) -> dict[str, Any]:
        """See `Strategy.news`."""
        return self.ledger.news()

    def restore(self, state: dict[str, Any], news: Iterable[Mapping[str, Any]]) -> Self:
        """See `Strategy.restore`."""
        self.ledger.restore(news)
        self.rng = generator_from(state["rng"])
        return self

    def _empty(self) -> Population:
        return np.empty((0, self.problem.encoding.genes), np.int64)

    def _unexplored(self, n: int) -> Population:
        """Propose up to n random candidates that are not taken; fewer where the space has no more."""
        encoding, found = self.problem.encoding, self._empty()
        for _ in range(8):
            missing = n - len(found)
            drawn = self.ledger.claim(encoding.sample(max(2 * missing, 64), self.rng), missing)
            found = np.concatenate([found, drawn])
            if len(found) == n:
                return found
        # Random draws hit taken rows only: what is left is sought systematically.
        rows = encoding.enumerate(ENUMERABLE)
        left = self.ledger.fresh(self._neighbours() if rows is None else rows)
        left = left[self.rng.permutation(len(left))]
        return np.concatenate([found, self.ledger.claim(left, n - len(found))])

    def _neighbours(self) -> Population:
        """Every row that differs in one gene's option from a taken row. Where all of them are taken, so is
        all of a space in which any model is reached from any other by changing genes one by one."""
        taken = np.concatenate([self.ledger.population, self.ledger.pending])
        changed = []
        for gene, cardinality in enumerate(self.problem.encoding.cardinalities.tolist()):
            for option in range(cardinality):
                rows = taken.copy()
                rows[:, gene] = option
                changed.append(self.ledger.fresh(self.problem.encoding.canonical(rows)))
        return np.concatenate([self._empty(), *changed])
