"""pymoo's genetic algorithms as strategies, for comparison (extra `peers`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nas.problem import SearchProblem
from nas.strategies.base import SingleFidelityStrategy
from nas.strategies.strategy import register_strategy
from searchspaces.encoding import Population

__all__ = ["PymooStrategy"]

SIZE = 20
"""Parents: few, as for the other peers, since evaluations are few."""


class PymooStrategy(SingleFidelityStrategy):
    """A genetic algorithm with pymoo's operators for integers: SBX and polynomial mutation, rounded.

    pymoo's objects keep nothing between batches but the parents, so that the state is plain data: every
    survival has a new algorithm.
    """

    package = "pymoo"

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        from pymoo.core.population import Population as Individuals
        from pymoo.core.problem import Problem as PymooProblem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair

        self._individuals = Individuals
        self._operators = {
            "crossover": SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
            "mutation": PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        }
        self._algorithm = self._made(**self._operators)
        self._bounded = np.flatnonzero(np.isfinite(problem.bounds))
        self._pymoo_problem = PymooProblem(
            n_var=problem.encoding.genes,
            n_obj=len(problem.objectives),
            n_ieq_constr=len(self._bounded),
            xl=np.zeros(problem.encoding.genes),
            xu=problem.encoding.cardinalities - 1.0,
        )
        self._parents = np.empty(0, np.int64)

    @abstractmethod
    def _made(self, **operators: Any) -> Any:
        """pymoo's algorithm, with SIZE parents."""

    def _propose(self, n: int) -> Population:
        if self.history.taken < SIZE or len(self._parents) < 2:
            return self.problem.encoding.sample(n, self.rng)
        # Survival again, since the tournament needs the ranks that it assigns.
        parents = self._surviving(self._parents)
        # The tournament draws from the algorithm's own generator.
        self._algorithm.random_state = self.rng
        # Twice as many as asked make up for children that exist already.
        children = self._algorithm.mating.do(
            self._pymoo_problem, parents, 2 * n, algorithm=self._algorithm, random_state=self.rng
        )
        return self.problem.encoding.canonical(np.rint(children.get("X")))

    def _learn(self, positions: NDArray[np.int64]) -> None:
        candidates = np.union1d(self._parents, positions)
        candidates = candidates[np.isfinite(self.history.values_at(candidates)).all(1)]
        if len(candidates):
            self._parents = np.sort(self._surviving(candidates).get("position").astype(np.int64))

    def _surviving(self, positions: NDArray[np.int64]) -> Any:
        """pymoo's population of the survivors among the candidates at these positions of the history."""
        smaller = self.problem.minimised(self.history.values_at(positions))
        individuals = self._individuals.new(
            X=self.history.rows(positions).astype(float),
            F=smaller,
            G=smaller[:, self._bounded] - self.problem.bounds[self._bounded],
            position=positions,
        )
        # Some survivals remember ideal points; a new one knows only these candidates.
        self._algorithm = self._made(**self._operators)
        return self._algorithm.survival.do(
            self._pymoo_problem,
            individuals,
            n_survive=SIZE,
            algorithm=self._algorithm,
            random_state=np.random.default_rng(0),
        )

    def state(self) -> dict[str, Any]:
        """See `Strategy.state`."""
        return super().state() | {"parents": self._parents.tolist()}

    def restore(self, state: dict[str, Any], journal: Iterable[Mapping[str, Any]]) -> Self:
        """See `Strategy.restore`."""
        self._parents = np.array(state["parents"], np.int64)
        return super().restore(state, journal)


@register_strategy("pymoo-nsga2")
class PymooNSGA2(PymooStrategy):
    """NSGA-II (Deb et al., 2002)."""

    def _made(self, **operators: Any) -> Any:
        from pymoo.algorithms.moo.nsga2 import NSGA2

        return NSGA2(SIZE, **operators)


@register_strategy("pymoo-agemoea")
class PymooAGEMOEA(PymooStrategy):
    """AGE-MOEA (Panichella, 2019): survival by the geometry that the front is estimated to have."""

    package = "numba"  # pymoo's own form of it does not load without

    def _made(self, **operators: Any) -> Any:
        from pymoo.algorithms.moo.age import AGEMOEA

        return AGEMOEA(SIZE, **operators)


@register_strategy("pymoo-sms")
class PymooSMS(PymooStrategy):
    """SMS-EMOA (Beume et al., 2007): survival by contributed hypervolume."""

    def _made(self, **operators: Any) -> Any:
        from pymoo.algorithms.moo.sms import SMSEMOA

        return SMSEMOA(SIZE, **operators)
