"""The interface of a search strategy: ask and tell over encoded populations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar, Self

from nas.problem import Levels, SearchProblem, Values
from searchspaces.encoding import Encoding, Population
from searchspaces.registry import Registry

__all__ = ["STRATEGIES", "Strategy", "get_strategy", "register_strategy", "strategies"]


class Strategy(ABC):
    """Proposes candidates and learns from their values.

    Every strategy proposes only valid, canonical candidates, each at most once at the same or a lower
    fidelity; is deterministic by seed; restored from its state and journal, which are plain JSON data,
    continues identically, even in the middle of a batch; respects bounds and the remaining budget; and copes
    with NaN values and with spaces smaller than the budget. Registering one enrols it in
    `tests/nas/strategies/test_contract.py`.

    Args:
        problem: what is searched.
        seed: of all its randomness.
    """

    name: ClassVar[str]
    package: ClassVar[str | None] = None
    """A package that it needs beyond this project's own dependencies, from the extra `peers`."""
    fidelities: ClassVar[bool] = False
    """Whether it ever asks for evaluations below full fidelity."""

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        self.problem = problem
        self.seed = seed

    @classmethod
    def check(cls, encoding: Encoding) -> None:
        """Refuse a space that it cannot search, before anything is spent.

        Raises:
            ValueError: the space is too large for this strategy.
        """
        return

    @abstractmethod
    def ask(self, n: int, left: float = math.inf) -> Population:
        """(m, genes) with m ≤ n, candidates to evaluate next; m = 0 if the space is exhausted or the budget
        does not suffice for another.

        May be called again before the values of earlier candidates are told (asynchronous batches).

        Args:
            left: the remaining budget, in full evaluations, for these candidates and all later ones.
        """

    @abstractmethod
    def levels(self, population: Population) -> Levels:
        """(n,) the fidelity at which each of these candidates, returned by `ask`, is to be evaluated."""

    @abstractmethod
    def tell(self, population: Population, values: Values, levels: Levels | None = None) -> None:
        """Learn the values of candidates, whether asked for or not: evaluations reused from earlier jobs are
        told too.

        Args:
            levels: fidelity of each; full if None.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Where the search stands, as plain JSON data: small, since it is written with every step."""

    @abstractmethod
    def journal_entry(self) -> dict[str, Any]:
        """What was proposed and told since the last entry, as plain JSON data."""

    @abstractmethod
    def restore(self, state: dict[str, Any], journal: Iterable[Mapping[str, Any]]) -> Self:
        """Continue from a state and all journal entries up to it, in order; returns self."""


STRATEGIES: Registry[Strategy] = Registry(Strategy, "nas.strategies", "strategy", "nas.strategies")
register_strategy = STRATEGIES.register
strategies = STRATEGIES.classes


def get_strategy(name: str) -> type[Strategy]:
    """The registered class.

    Raises:
        ValueError: see `Registry.get`; or its package is not installed.
    """
    found = STRATEGIES.get(name)
    needed = found.package
    if needed is not None and find_spec(needed) is None:
        brought = "'nas-service[peers]'" if STRATEGIES.origin(name) is None else needed
        raise ValueError(f"strategy {name!r} needs {needed}; install it with: pip install {brought}")
    return found
