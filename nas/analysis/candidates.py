"""Candidates of a job's search: what is known of them before and after they are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nas.analysis.known import Known
from nas.objectives import Objective, Source
from nas.objectives.kind import OBJECTIVES, Measured
from nas.objectives.objective import Key
from nas.objectives.value import Value
from nas.problem import SearchProblem
from predictors import Prediction, Predictor
from searchspaces.encoding import Population
from workers.target import Target

__all__ = ["Candidates"]


class Candidates:
    """What is known of candidates at the moment: predictions, counts, measurements, qualities.

    Args:
        predictors: a fitted one for each objective that devices measure, as `stored_predictors` gives them.
        prior: see `SearchProblem.prior`.
        seeds: (s, genes) to evaluate first; the presets where None.
    """

    def __init__(
        self,
        context: Known,
        predictors: Mapping[Key, Predictor],
        prior: Callable[[Population], np.ndarray] | None = None,
        seeds: Population | None = None,
    ) -> None:
        self.context = context
        self.plan = context.plan
        self.predictors = predictors
        self.prior = prior
        self.seeds = seeds

    def problem(self) -> SearchProblem:
        """As strategies see it."""
        return SearchProblem(
            encoding=self.plan.space,
            objectives=self.plan.objectives,
            known=self.known,
            seeds=self.plan.preset_population if self.seeds is None else self.seeds,
            fidelities=self.plan.spec.budget.search.fidelities,
            prior=self.prior,
        )

    def known(self, population: Population, objectives: Sequence[Objective] | None = None) -> np.ndarray:
        """(n, k) values of the objectives that cost no evaluation, in order, by prediction.

        Args:
            objectives: the plan's where None.
        """
        columns = []
        for objective in self.plan.objectives if objectives is None else objectives:
            if objective.source is Source.PREDICTED:
                terms = self.plan.terms(objective)
                columns.append(sum(f * self.predictors[key].predict(population).mean for f, key in terms))
            elif objective.source is Source.COUNTED:
                columns.append(self.plan.count(objective, population).astype(float))
        return np.stack(columns, axis=1) if columns else np.empty((len(population), 0))

    def predict(self, population: Population) -> dict[Key, Prediction]:
        """Of everything that devices measure, and of sums of it."""
        found = {key: predictor.predict(population) for key, predictor in self.predictors.items()}
        for objective in self.plan.combined:
            parts = [(factor, found.get(key)) for factor, key in self.plan.terms(objective)]
            known = [(factor, part) for factor, part in parts if part is not None]
            if len(known) == len(parts):
                mean = np.sum([factor * part.mean for factor, part in known], axis=0)
                std = np.linalg.norm([factor * part.std for factor, part in known], axis=0)
                found[objective.key] = Prediction(mean, std)
        return found

    def unmeasured(self, population: Population) -> list[dict[Key, Value]]:
        """Of each candidate the counts and the predictions, whether it is measured or not."""
        rows: list[dict[Key, Value]] = [{} for _ in population]
        for key, counts in self.plan.counts(population).items():
            for row, count in zip(rows, counts.tolist(), strict=True):
                row[key] = Value(float(count))
        for key, prediction in self.predict(population).items():
            for row, mean, std in zip(rows, prediction.mean.tolist(), prediction.std.tolist(), strict=True):
                row[key] = Value(mean, std)
        return rows

    def values(
        self, population: Population, quality: np.ndarray, digests: Sequence[str] | None = None
    ) -> np.ndarray:
        """(n, objectives) with what was measured where something was.

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
            if objective.source is Source.PREDICTED:
                terms = self.plan.terms(objective)
                measured = sum(factor * self._measured(key, digests) for factor, key in terms)
                values[:, column] = np.where(np.isnan(measured), values[:, column], measured)
        return values

    def _measured(self, key: Key, digests: Sequence[str]) -> np.ndarray:
        """(n,) what a device measured of these architectures, of which one may stand twice; NaN where it did
        not."""
        found: dict[str, float] = {}
        kind, text = OBJECTIVES.get(key[0]), key[1]
        assert issubclass(kind, Measured)
        assert text is not None
        for measurement in self.context.store.measurements(Target.parse(text), digests):
            observation = kind.observed(measurement)
            if observation is not None:
                found[measurement.digest] = observation.value
        return np.array([found.get(digest, np.nan) for digest in digests])
