"""The search problem: genes, objectives, and what is known of them before anything is evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nas.objectives import Objective, Source
from searchspaces.encoding import Encoding, Population

__all__ = ["Levels", "SearchProblem", "Values"]

Values = NDArray[np.float64]
"""(n, objectives) in the objectives' own units and directions; NaN where an evaluation failed."""

Levels = NDArray[np.int64]
"""(n,) indices into `SearchProblem.fidelities`."""


@dataclass(frozen=True)
class SearchProblem:
    """What is searched.

    Attributes:
        encoding: the genes.
        objectives: columns of the values; those whose source is `EVALUATED` are expensive.
        known: (n, genes) → (n, k) values of the other objectives, the free ones, in their order: fast enough
            to call on 100,000 candidates a second.
        reference: (objectives,) the worst values of interest, the reference point of hypervolume; None to
            derive it from the fronts found. Not a constraint: bounds are.
        prior: (n, genes) → (n,) what is believed of the expensive objectives before anything is evaluated, up
            to scale: a sum over layers. Surrogates learn how values depend on it.
        seeds: (s, genes) canonical candidates to evaluate first (presets).
        fidelities: costs of evaluations relative to a full one: increasing, the last one 1. Cheaper ones
            estimate the same values with more noise and with an error common to all of that fidelity.
    """

    encoding: Encoding
    objectives: tuple[Objective, ...]
    known: Callable[[Population], Values] | None = None
    reference: tuple[float, ...] | None = None
    seeds: Population | None = field(default=None, repr=False)
    fidelities: tuple[float, ...] = (1.0,)
    prior: Callable[[Population], NDArray[np.float64]] | None = None

    def __post_init__(self) -> None:
        if not self.objectives:
            raise ValueError("a problem needs at least one objective")
        for objective in self.objectives:
            if objective.bound is not None and not math.isfinite(objective.bound):
                raise ValueError(
                    f"the bound of {objective.name} is {objective.bound}; accepted: a finite number"
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
    def expensive(self) -> list[int]:
        """Columns whose values take an evaluation: those of `EVALUATED` objectives; all columns if `known` is
        None."""
        return [
            i
            for i, objective in enumerate(self.objectives)
            if self.known is None or objective.source is Source.EVALUATED
        ]

    @property
    def free(self) -> list[int]:
        """Columns that `known` gives."""
        return sorted(set(range(len(self.objectives))) - set(self.expensive))

    def refreshed(self, population: Population, values: Values) -> Values:
        """Values with the free columns as `known` gives them now: predictors may be refitted during a
        search."""
        if self.known is None:
            return values
        values = values.copy()
        values[:, self.free] = self.known(population)
        return values

    def minimised(self, values: Values) -> Values:
        """Values with the sign of every column such that smaller is better."""
        return values * np.array([objective.direction.sign for objective in self.objectives])

    @property
    def bounds(self) -> NDArray[np.float64]:
        """(objectives,) bounds of minimised values; infinite for none."""
        return np.array(
            [np.inf if o.bound is None else o.bound * o.direction.sign for o in self.objectives], float
        )

    def violation(self, minimised: Values, columns: Sequence[int] | None = None) -> NDArray[np.float64]:
        """(n,) total constraint violation of `minimised` values: the sum of excesses relative to their
        bounds; 0 if all bounds are met, infinite if a value is not finite.

        Args:
            columns: take only these objectives into account.
        """
        counted = range(len(self.objectives)) if columns is None else columns
        excess = np.zeros(len(minimised))
        # Column by column: reductions over so short an axis are slow.
        for values, bound in zip(minimised.T[list(counted)], self.bounds[list(counted)], strict=True):
            if np.isfinite(bound):
                excess += np.maximum(values - bound, 0.0) / (abs(bound) or 1.0)
            excess[~np.isfinite(values)] = np.inf
        return excess

    def free_values(self, population: Population) -> Values:
        """(n, objectives) minimised, by what costs no evaluation; 0 in the other columns."""
        blank = np.zeros((len(population), len(self.objectives)))
        return self.minimised(self.refreshed(population, blank))

    def free_violation(self, population: Population) -> NDArray[np.float64]:
        """(n,) `violation` by these alone."""
        return self.violation(self.free_values(population), self.free)
