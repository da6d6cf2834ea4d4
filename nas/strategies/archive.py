"""The non-dominated candidates of a search, kept as they come."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike

from nas.problem import SearchProblem, Values
from searchspaces.encoding import Population

__all__ = ["Archive"]


class Archive:
    """Feasible candidates that no other dominates; while none is feasible, those nearest to being so.

    Adding costs the size of the front, however many candidates went before.
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
        """Whether any candidate so far meets every bound."""
        return bool(len(self) and self._violation[0] == 0)

    def add(self, population: Population, values: Values) -> None:
        """Take in candidates; failed ones (a value not finite) are left out."""
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
