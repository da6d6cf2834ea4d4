"""Bases of strategies: seeds first, no duplicates, exhaustion of small spaces, state as plain data."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.problem import Levels, SearchProblem
from nas.strategies.history import PAID, History
from nas.strategies.plain import generator_from, generator_state
from nas.strategies.strategy import Strategy
from searchspaces.encoding import Population

__all__ = ["HistoryStrategy", "SingleFidelityStrategy"]

ENUMERABLE = 200_000
"""Spaces of at most this many codes are enumerated if random draws find nothing new."""


class HistoryStrategy(Strategy):
    """Keeps a history of candidates and a random generator; subclasses offer candidates, at any fidelity.

    Of the candidates that `_offer` returns, those that are open and affordable are asked, topped up with
    random ones. `ask` returns fewer than `n` only if no other candidate is left, or none is affordable.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        self.history = History(problem.encoding, len(problem.objectives), problem.fidelities)
        self.rng = np.random.Generator(np.random.PCG64(seed))

    @abstractmethod
    def _offer(self, n: int, left: float) -> tuple[Population, Levels]:
        """(m, genes) canonical candidates, best first, and the fidelity of each; any m, duplicates and
        candidates already taken allowed."""

    def _learn(self, positions: NDArray[np.int64]) -> None:
        """Learn from the full evaluations just entered at these positions of the history, all distinct."""

    def ask(self, n: int, left: float = math.inf) -> Population:
        """See `Strategy.ask`."""
        chosen = self._empty()
        if self.problem.seeds is not None:
            chosen = self.history.claim(self.problem.seeds, n, left)
        left -= self.history.cost(chosen)
        if len(chosen) < n and left > PAID:
            offered, levels = self._offer(n - len(chosen), left)
            taken = self.history.claim(offered, n - len(chosen), left, levels)
            left -= self.history.cost(taken)
            chosen = np.concatenate([chosen, taken])
        if len(chosen) < n and left > PAID:
            chosen = np.concatenate([chosen, self._unexplored(n - len(chosen), left, chosen)])
        return chosen

    def levels(self, population: Population) -> Levels:
        """See `Strategy.levels`."""
        return self.history.asked(population)

    def tell(self, population: ArrayLike, values: ArrayLike, levels: Levels | None = None) -> None:
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
        positions = self.history.tell(rows, told, levels)
        whole = positions if levels is None else positions[levels == self.history.full]
        # A candidate told twice in one call is one: the history keeps the values told last.
        _, first = np.unique(whole, return_index=True)
        self._learn(whole[np.sort(first)])

    def state(self) -> dict[str, Any]:
        """See `Strategy.state`."""
        return {"rng": generator_state(self.rng)}

    def journal_entry(self) -> dict[str, Any]:
        """See `Strategy.journal_entry`."""
        return self.history.journal_entry()

    def restore(self, state: dict[str, Any], journal: Iterable[Mapping[str, Any]]) -> Self:
        """See `Strategy.restore`."""
        self.history.restore(journal)
        self.rng = generator_from(state["rng"])
        return self

    def _empty(self) -> Population:
        return np.empty((0, self.problem.encoding.genes), np.int64)

    def _unexplored(self, n: int, left: float, chosen: Population) -> Population:
        """Claim up to n random open candidates at full fidelity, none of those chosen already; fewer if the
        space has no more, or the budget does not suffice."""
        encoding, found = self.problem.encoding, self._empty()
        # Chosen at a lower fidelity, a candidate is still open at full; a batch evaluates it once.
        positions = self.history.find(chosen)

        def others(rows: Population) -> Population:
            return rows[~np.isin(self.history.find(rows), positions)]

        for _ in range(8):
            missing = n - len(found)
            rows = others(encoding.sample(max(2 * missing, 64), self.rng))
            found = np.concatenate([found, self.history.claim(rows, missing, left - len(found))])
            if len(found) == n or left - len(found) < 1.0 - PAID:
                return found
        # Random draws found only taken rows: look for the others systematically.
        everything = encoding.enumerate(ENUMERABLE)
        rows = self._neighbours() if everything is None else everything
        rows = others(rows[self.rng.permutation(len(rows))])
        return np.concatenate([found, self.history.claim(rows, n - len(found), left - len(found))])

    def _neighbours(self) -> Population:
        """Every open row that differs from a taken row in one gene. If there is none, the whole space is
        taken, provided that any model can be reached from any other by changing one gene at a time."""
        taken = np.concatenate([self.history.population, self.history.pending])
        changed = []
        for gene, cardinality in enumerate(self.problem.encoding.cardinalities.tolist()):
            for option in range(cardinality):
                rows = taken.copy()
                rows[:, gene] = option
                changed.append(self.history.fresh(self.problem.encoding.canonical(rows)))
        return np.concatenate([self._empty(), *changed])


class SingleFidelityStrategy(HistoryStrategy):
    """Asks for full evaluations only; subclasses propose candidates."""

    @abstractmethod
    def _propose(self, n: int) -> Population:
        """(m, genes) canonical candidates, best first; any m, duplicates and candidates already taken
        allowed."""

    def _offer(self, n: int, left: float) -> tuple[Population, Levels]:
        proposed = self._propose(n)
        return proposed, np.full(len(proposed), self.history.full)
