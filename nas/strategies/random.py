"""Random search: the baseline for every strategy."""

from __future__ import annotations

from nas.strategies.base import SingleFidelityStrategy
from nas.strategies.strategy import register_strategy
from searchspaces.encoding import Population

__all__ = ["RandomStrategy"]


@register_strategy("random")
class RandomStrategy(SingleFidelityStrategy):
    """Uniform over the codes, without repetition."""

    def _propose(self, n: int) -> Population:
        return self.problem.encoding.sample(n, self.rng)
