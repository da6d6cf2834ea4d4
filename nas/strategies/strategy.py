"""The interface of a search strategy: ask and tell over encoded populations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nas.objective import Objective, Source
from searchspaces.encoding import Encoding, Population
from searchspaces.registry import Registry

__all__ = ["Problem", "Strategy", "parse_strategy", "register_strategy", "strategies"]

Values = NDArray[np.float64]
"""(n, objectives) in the objectives' own units and directions; NaN where an evaluation failed."""

Levels = NDArray[np.int64]
"""(n,) indices into `Problem.fidelities`."""

_REGISTRY: Registry[Strategy] = Registry("nas.strategies", "strategy")
register_strategy = _REGISTRY.register
strategies = _REGISTRY.classes


@dataclass(frozen=True)
class Problem:
    """What is searched.

    Attributes:
        encoding: the genes.
        objectives: columns of the values; those whose source is `EVALUATED` are dear.
        known: (n, genes) → (n, k) values of the objectives that are not dear, in their order: free to
            call on ≥ 100,000 candidates a second.
        reference: (objectives,) the worst values of interest, from which hypervolume is counted; None to
            take them from the fronts that are found. Not a constraint: bounds are.
        seeds: (s, genes) canonical candidates to evaluate first (presets).
        fidelities: what evaluations may cost, in whole ones: rising shares, the last one 1. A cheaper
            evaluation answers the same with more noise, and off by what all of its kind are off by.
    """

    encoding: Encoding
    objectives: tuple[Objective, ...]
    known: Callable[[Population], Values] | None = None
    reference: tuple[float, ...] | None = None
    seeds: Population | None = field(default=None, repr=False)
    fidelities: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not self.objectives:
            raise ValueError("a problem needs at least one objective")
        for objective in self.objectives:
            if objective.bound is not None and not math.isfinite(objective.bound):
                raise ValueError(
                    f"the bound of {objective.name} is {objective.bound}; a finite number is accepted"
                )
        if self.reference is not None and len(self.reference) != len(self.objectives):
            raise ValueError(
                f"reference {self.reference}; accepted: one value for each of {len(self.objectives)}"
            )
        if self.seeds is not None and not np.array_equal(self.seeds, self.encoding.canonical(self.seeds)):
            raise ValueError("seeds are not canonical; `Encoding.canonical` makes them so")
        shares = (0.0, *self.fidelities)
        if shares[-1] != 1.0 or not all(a < b for a, b in pairwise(shares)):
            raise ValueError(
                f"fidelities {self.fidelities}; accepted: rising shares in (0, 1], the last one 1"
            )

    @property
    def dear(self) -> list[int]:
        """Columns whose values cost an evaluation: those of `EVALUATED` objectives, and all where
        nothing is known beforehand."""
        return [
            i
            for i, objective in enumerate(self.objectives)
            if self.known is None or objective.source is Source.EVALUATED
        ]

    @property
    def free(self) -> list[int]:
        """Columns that `known` answers."""
        return sorted(set(range(len(self.objectives))) - set(self.dear))

    def refreshed(self, population: Population, values: Values) -> Values:
        """Values with the free columns as `known` has them now (predictors are refitted on the way)."""
        if self.known is None:
            return values
        values = values.copy()
        values[:, self.free] = self.known(population)
        return values

    def minimised(self, values: Values) -> Values:
        """Values with every column such that smaller is better."""
        return values * np.array([objective.direction.sign for objective in self.objectives])

    @property
    def bounds(self) -> NDArray[np.float64]:
        """(objectives,) bounds of minimised values; infinite where there is none."""
        return np.array(
            [np.inf if o.bound is None else o.bound * o.direction.sign for o in self.objectives], float
        )

    def violation(self, minimised: Values, columns: Sequence[int] | None = None) -> NDArray[np.float64]:
        """(n,) by how much `minimised` values exceed the bounds: excesses relative to their bounds,
        summed; 0 where all bounds are met, infinite where a value is not finite.

        Args:
            columns: count these objectives only.
        """
        counted = range(len(self.objectives)) if columns is None else columns
        excess = np.zeros(len(minimised))
        # Column by column: reductions over so short an axis are slow.
        for values, bound in zip(minimised.T[list(counted)], self.bounds[list(counted)], strict=True):
            if np.isfinite(bound):
                excess += np.maximum(values - bound, 0.0) / (abs(bound) or 1.0)
            excess[~np.isfinite(values)] = np.inf
        return excess


class Strategy(ABC):
    """Proposes candidates and learns from their values.

    Never proposes an invalid or non-canonical candidate, nor one that was proposed before at the same
    fidelity or a higher one; is deterministic by seed; restored from its state and its news, plain JSON
    data, it goes on identically, in the middle of a batch too; honours bounds and what is left to spend;
    copes with NaN values and with spaces smaller than the budget.
    Registering one enrols it in `tests/nas/strategies/test_contract.py`.

    Args:
        problem: what is searched.
        seed: of all its randomness.
    """

    name: ClassVar[str]
    package: ClassVar[str | None] = None
    """What it needs beside this project's own dependencies: a package of the extra `peers`."""
    fidelities: ClassVar[bool] = False
    """Whether it ever asks for less than whole evaluations."""

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        self.problem = problem
        self.seed = seed

    @classmethod
    def check(cls, encoding: Encoding) -> None:
        """Refuse a space that it cannot search, before anything is spent on it.

        Raises:
            ValueError: it is too large for this strategy.
        """
        return

    @abstractmethod
    def ask(self, n: int, left: float = math.inf) -> Population:
        """(m, genes), m ≤ n candidates to evaluate next; m = 0 where the space is exhausted, or nothing
        can be had for what is left.

        May be called again before earlier candidates were told (asynchronous batches).

        Args:
            left: what may still be spent, in whole evaluations, on these candidates and all later ones.
        """

    @abstractmethod
    def levels(self, population: Population) -> Levels:
        """At which of the problem's fidelities candidates that were asked are to be evaluated."""

    @abstractmethod
    def tell(self, population: Population, values: Values, levels: Levels | None = None) -> None:
        """Values of candidates, asked or not (evaluations reused from earlier jobs are told too).

        Args:
            levels: fidelity of each; the whole evaluation where None.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Where it stands, as plain JSON data: small, since it is written with every step of a search."""

    @abstractmethod
    def news(self) -> dict[str, Any]:
        """What was proposed and told since the last call, as plain JSON data."""

    @abstractmethod
    def restore(self, state: dict[str, Any], news: Iterable[Mapping[str, Any]]) -> Self:
        """Take over a state, and all news up to it in their order; returns self."""


def parse_strategy(name: str) -> type[Strategy]:
    """The registered class.

    Raises:
        ValueError: no strategy of that name, those accepted are named; or its package is not installed.
    """
    known = strategies()
    if name not in known:
        raise ValueError(f"no strategy {name!r}; accepted: {', '.join(known)}")
    needed = known[name].package
    if needed is not None and find_spec(needed) is None:
        raise ValueError(
            f"strategy {name!r} needs {needed}; install it with: pip install 'nas-service[peers]'"
        )
    return known[name]
