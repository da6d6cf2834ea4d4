"""Candidates of a job's search: what is known of them before and after they are evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nas.analysis.known import Known
from nas.objectives import Objective, Source
from nas.problem import SearchProblem
from predictors import Prediction, Predictor
from searchspaces.encoding import Population
from workers.target import Target

__all__ = ["Candidates"]


class Candidates:
    """What is known of candidates at the moment: predictions, counts, measurements, qualities.

    Args:
        predictors: a fitted one for each target.
    """

    def __init__(self, context: Known, predictors: Mapping[Target, Predictor]) -> None:
        self.context = context
        self.plan = context.plan
        self.predictors = predictors

    def problem(self) -> SearchProblem:
        """As strategies see it."""
        return SearchProblem(
            encoding=self.plan.space,
            objectives=self.plan.objectives,
            known=self.known,
            seeds=self.plan.preset_population,
            fidelities=self.plan.spec.budget.search.fidelities,
        )

    def known(self, population: Population, objectives: Sequence[Objective] | None = None) -> np.ndarray:
        """(n, k) values of the objectives that cost no evaluation, in order, by prediction.

        Args:
            objectives: the plan's where None.
        """
        columns = []
        for objective in self.plan.objectives if objectives is None else objectives:
            if objective.source is Source.PREDICTED and objective.target is not None:
                columns.append(self.predictors[objective.target].predict(population).mean)
            elif objective.source is Source.COUNTED:
                columns.append(self.plan.count(objective, population).astype(float))
        return np.stack(columns, axis=1) if columns else np.empty((len(population), 0))

    def predict(self, population: Population) -> dict[Target, Prediction]:
        """Of every target."""
        return {target: predictor.predict(population) for target, predictor in self.predictors.items()}

    def values(
        self, population: Population, quality: np.ndarray, digests: Sequence[str] | None = None
    ) -> np.ndarray:
        """(n, objectives) with measured latencies where there are some.

        Args:
            digests: of the population, where they are known.
        """
        values = np.empty((len(population), len(self.plan.objectives)))
        known = iter(self.known(population).T)
        digests = digests or [a.digest for a in self.plan.space.decode(population)]
        for column, objective in enumerate(self.plan.objectives):
            if objective.source is Source.EVALUATED:
                values[:, column] = quality
                continue
            values[:, column] = next(known)
            if objective.target is not None:
                measured = {
                    m.digest: m.corrected.latency_ms
                    for m in self.context.store.measurements(objective.target, digests)
                }
                for row, digest in enumerate(digests):
                    values[row, column] = measured.get(digest, values[row, column])
        return values
