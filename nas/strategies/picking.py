"""Which evaluations to buy next: of which candidates, and how dear ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.strategies.gaussian_process import Posterior
from nas.strategies.improvement import ExpectedImprovement
from nas.strategies.strategy import Levels, Values
from searchspaces.encoding import Population

__all__ = ["Offers"]


@dataclass
class Offers:
    """Candidates, and what is believed of them: first those waited for, then those that may be picked.

    One after another is picked by the hypervolume improvement that is expected for what its evaluation
    costs; each pick, and each candidate still waited for, counts as attained at its mean and as evaluated, so
    that its like lose their uncertainty (Ginsbourger et al., 2010, "kriging believer").

    Attributes:
        rows: (n, genes).
        awaited: (w,) fidelities at which the first w are waited for.
        levels: (n - w,) highest fidelity at which the others were evaluated, -1 where they never were.
        mean: (n, objectives) minimised values believed.
        beliefs: of each dear objective.
        dear: columns of those.
        costs: of each fidelity, in whole evaluations.
    """

    rows: Population
    awaited: Levels
    levels: Levels
    mean: Values
    beliefs: list[Posterior]
    dear: Sequence[int]
    costs: NDArray[np.float64]

    def pick(
        self, n: int, front: Values, reference: NDArray[np.float64], least: int = 0
    ) -> tuple[Population, Levels]:
        """(≤ n, genes) candidates, and the fidelities at which to evaluate them.

        Args:
            front, reference: what is improved on, see `ExpectedImprovement`.
            least: the lowest fidelity to buy.
        """
        improvement = ExpectedImprovement(front, reference, self.mean, self.dear[0] if self.dear else 0)
        for which, level in enumerate(self.awaited.tolist()):
            self._count(improvement, which, level)
        full = len(self.costs) - 1
        highest = np.concatenate([np.full(len(self.awaited), full), self.levels])
        picked: list[tuple[int, int]] = []
        for _ in range(min(n, len(self.levels))):
            gain = np.full((len(self.costs), len(self.rows)), -1.0)
            for level in range(least, len(self.costs)):
                buyable = highest < level
                gain[level, buyable] = improvement.of(self._learned(level))[buyable] / self.costs[level]
            level, which = divmod(int(np.argmax(gain)), len(self.rows))
            if gain[level, which] < 0:
                break
            picked.append((which, level))
            highest[which] = full
            self._count(improvement, which, level)
        chosen = np.array(picked, np.int64).reshape(-1, 2)
        return self.rows[chosen[:, 0]], chosen[:, 1]

    def _count(self, improvement: ExpectedImprovement, which: int, level: int) -> None:
        improvement.attain(self.mean[which])
        self.beliefs = [belief.after(which, level) for belief in self.beliefs]

    def _learned(self, level: int) -> Values:
        """(n, objectives) standard deviations of what an evaluation at this level may change of the means."""
        std = np.zeros_like(self.mean)
        for column, belief in zip(self.dear, self.beliefs, strict=True):
            std[:, column] = belief.learned(level)
        return std
