"""The archive of non-dominated candidates of a search."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike

from nas.problem import SearchProblem, Values
from searchspaces.encoding import Population

__all__ = ["Archive"]


class Archive:
    """Non-dominated feasible candidates; as long as none is feasible, those with the least violation.

    The time that adding takes depends on the size of the front, not on how many candidates were added before.
    """

    def __init__(self, problem: SearchProblem) -> None:
        self._problem = problem
        self.population: Population = np.empty((0, problem.encoding.genes), np.int64)
        self.values: Values = np.empty((0, len(problem.objectives)))
        self._violation = np.empty(0)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def feasible(self) -> bool:
        """Whether any candidate so far meets all bounds."""
        return bool(len(self) and self._violation[0] == 0)

    def add(self, population: Population, values: Values) -> None:
        """Add candidates; failed ones, with a value that is not finite, are ignored."""
        smaller = self._problem.minimised(values)
        violation = self._problem.violation(smaller)
        least = min(violation.min(initial=np.inf), self._violation.min(initial=np.inf))
        old, new = self._violation == least, np.isfinite(violation) & (violation == least)
        self.population = np.concatenate([self.population[old], population[new]])
        self.values = np.concatenate([self.values[old], values[new]])
        self._violation = np.full(len(self.values), least)
        if len(self):
            kept = moocore.is_nondominated(self._problem.minimised(self.values))
            self.population, self.values = self.population[kept], self.values[kept]
            self._violation = self._violation[kept]

    def hypervolume(self, reference: ArrayLike) -> float:
        """The exact volume between the feasible front and the reference (objectives,), in the
        objectives' own units."""
        if not self.feasible:
            return 0.0
        worst = self._problem.minimised(np.asarray(reference, float))
        return float(moocore.hypervolume(self._problem.minimised(self.values), ref=worst))
