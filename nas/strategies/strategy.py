"""The interface of a search strategy: ask and tell over encoded populations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nas.objective import Objective, Source
from searchspaces.encoding import Encoding, Population
from searchspaces.registry import Registry

__all__ = ["Problem", "Strategy", "parse_strategy", "register_strategy", "strategies"]

Values = NDArray[np.float64]
"""(n, objectives) in the objectives' own units and directions; NaN where an evaluation failed."""

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
        seeds: (s, genes) candidates to evaluate first (presets).
    """

    encoding: Encoding
    objectives: tuple[Objective, ...]
    known: Callable[[Population], Values] | None = None
    seeds: Population | None = field(default=None, repr=False)

    @property
    def dear(self) -> list[int]:
        """Columns whose values cost an evaluation."""
        return [i for i, o in enumerate(self.objectives) if o.source is Source.EVALUATED]


class Strategy(ABC):
    """Proposes candidates and learns from their values.

    Never proposes an invalid, non-canonical or already proposed candidate; is deterministic by seed;
    its state is plain JSON data that survives a restart in the middle of a batch and goes on
    identically; honours bounds; copes with NaN values and with spaces smaller than the budget.
    Registering one enrols it in `tests/nas/strategies/test_contract.py`.

    Args:
        problem: what is searched.
        seed: of all its randomness.
    """

    name: ClassVar[str]

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        self.problem = problem
        self.seed = seed

    @abstractmethod
    def ask(self, n: int) -> Population:
        """(m, genes), m ≤ n candidates to evaluate next; m = 0 where the space is exhausted.

        May be called again before earlier candidates were told (asynchronous batches).
        """

    @abstractmethod
    def tell(self, population: Population, values: Values) -> None:
        """Values of candidates, asked or not (evaluations reused from earlier jobs are told too)."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs, as plain JSON data."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> Self:
        """Take over a state; returns self."""


def parse_strategy(name: str) -> type[Strategy]:
    """The registered class.

    Raises:
        ValueError: no strategy of that name; those accepted are named.
    """
    known = strategies()
    if name not in known:
        raise ValueError(f"no strategy {name!r}; accepted: {', '.join(known)}")
    return known[name]
