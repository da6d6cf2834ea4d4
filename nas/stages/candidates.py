"""Searching: the loop between a strategy and the supernet, shared by `search` and `verify`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nas.evaluation import Split
from nas.job import StageName
from nas.objective import Source
from nas.stages.stage import EvaluationPool, StageContext
from nas.strategies import Problem, Strategy, parse_strategy
from predictors import Prediction, Predictor
from searchspaces.encoding import Population
from workers.target import Target

__all__ = ["Candidates", "search"]


class Candidates:
    """What is known of candidates at the moment: predictions, counts, measurements, qualities.

    Args:
        predictors: a fitted one for each target.
    """

    def __init__(self, context: StageContext, predictors: Mapping[Target, Predictor]) -> None:
        self.context = context
        self.plan = context.plan
        self.predictors = predictors

    def problem(self) -> Problem:
        """As strategies see it."""
        return Problem(
            encoding=self.plan.space,
            objectives=self.plan.objectives,
            known=self.known,
            seeds=self.plan.preset_population,
        )

    def known(self, population: Population) -> np.ndarray:
        """(n, k) values of the objectives that cost no evaluation, in order, by prediction."""
        counts = self.plan.counts(population)
        columns = []
        for objective in self.plan.objectives:
            if objective.source is Source.PREDICTED and objective.target is not None:
                columns.append(self.predictors[objective.target].predict(population).mean_ms)
            elif objective.source is Source.COUNTED:
                columns.append(counts[objective.name].astype(float))
        return np.stack(columns, axis=1) if columns else np.empty((len(population), 0))

    def predict(self, population: Population) -> dict[Target, Prediction]:
        """Of every target."""
        return {target: predictor.predict(population) for target, predictor in self.predictors.items()}

    def values(self, population: Population, quality: np.ndarray) -> np.ndarray:
        """(n, objectives) with measured latencies where there are some."""
        values = np.empty((len(population), len(self.plan.objectives)))
        known = iter(self.known(population).T)
        digests = [a.digest for a in self.plan.space.decode(population)]
        for column, objective in enumerate(self.plan.objectives):
            if objective.source is Source.EVALUATED:
                values[:, column] = quality
                continue
            values[:, column] = next(known)
            if objective.target is not None:
                measured = {
                    m.digest: m.latency_ms for m in self.context.store.measurements(objective.target, digests)
                }
                for row, digest in enumerate(digests):
                    values[row, column] = measured.get(digest, values[row, column])
        return values


def search(
    context: StageContext,
    stage: StageName,
    candidates: Candidates,
    pool: EvaluationPool,
    name: str,
    evaluations: int,
    first_told: Mapping[str, float],
) -> None:
    """Let the job's strategy spend `evaluations` evaluations of quality.

    Results are told in the order in which they were asked, half a batch at a time, whichever worker ends
    first: so the search is the same on any number of workers, yet none waits for a straggler until a
    whole batch is out. The strategy's state and what it has asked are stored with every step.

    Args:
        name: under which the search's state is kept with the job.
        first_told: qualities by digest that the strategy hears before it asks (earlier rounds).
    """
    run = _Run(context, stage, candidates, pool, name, evaluations, first_told)
    while run.fill():
        run.wait()


class _Run:
    """One search between two interruptions."""

    def __init__(
        self,
        context: StageContext,
        stage: StageName,
        candidates: Candidates,
        pool: EvaluationPool,
        name: str,
        evaluations: int,
        first_told: Mapping[str, float],
    ) -> None:
        plan = context.plan
        self.context, self.stage, self.candidates, self.pool = context, stage, candidates, pool
        self.space, self.supernet = plan.space, plan.supernet_digest
        self.name, self.budget = name, evaluations
        self.batch = plan.spec.budget.search.batch
        make = parse_strategy(plan.spec.budget.search.strategy)
        self.strategy: Strategy = make(candidates.problem(), plan.spec.seed)
        saved = context.store.state(context.job_id, name)
        if saved is None:
            self.told, self.pending = 0, np.empty((0, self.space.genes), np.int64)
            self._tell_first(first_told)
        else:
            self.strategy.restore(saved["strategy"])
            self.told = int(saved["told"])
            self.pending = np.array(saved["pending"], np.int64).reshape(-1, self.space.genes)
        self.quality = {e.digest: e.value for e in context.store.evaluations(self.supernet, Split.VALIDATION)}
        self.submitted: set[str] = set()

    def _tell_first(self, first_told: Mapping[str, float]) -> None:
        architectures = self.context.store.architectures(first_told)
        inside = [d for d in first_told if d in architectures and self.space.contains(architectures[d])]
        if inside:
            population = self.space.encode(architectures[d] for d in inside)
            quality = np.array([first_told[d] for d in inside])
            self.strategy.tell(population, self.candidates.values(population, quality))

    def fill(self) -> bool:
        """Tell what has arrived, ask for more, submit it; whether anything is still out."""
        digests = self._digests()
        while True:
            chunk = min(max(1, self.batch // 2), len(self.pending))
            if chunk and all(d in self.quality for d in digests[:chunk]):
                self._tell(chunk, digests)
                digests = digests[chunk:]
                continue
            room = min(self.batch - len(self.pending), self.budget - self.told - len(self.pending))
            if room < max(1, self.batch // 2) and len(self.pending):
                break
            if room <= 0:
                break
            asked = self.strategy.ask(room)
            if not len(asked):
                break
            self.pending = np.concatenate([self.pending, asked])
            self.context.store.put_architectures(self.space.decode(asked))
            self._save()
            digests = self._digests()
        for architecture in self.space.decode(self.pending):
            if architecture.digest not in self.quality and architecture.digest not in self.submitted:
                self.submitted.add(architecture.digest)
                self.pool.submit(architecture, Split.VALIDATION)
        return bool(len(self.pending))

    def wait(self) -> None:
        """Take one finished evaluation and store it."""
        evaluation = self.pool.next()
        self.context.store.add_evaluations([evaluation])
        self.quality[evaluation.digest] = evaluation.value
        if math.isnan(evaluation.value):
            self.context.note(self.stage, f"evaluation of {evaluation.digest} failed")
        arrived = sum(d in self.quality for d in self._digests())
        unit, best = self.context.plan.task.metric, self._best()
        self.context.progress(self.stage, self.told + arrived, self.budget, f"best {best:.3f} {unit}")
        self.context.check_stop()

    def _best(self) -> float:
        """Of everything scored with this supernet."""
        values = [v for v in self.quality.values() if not math.isnan(v)]
        return self.context.plan.task.direction.sign * min(
            (self.context.plan.task.direction.sign * v for v in values), default=math.nan
        )

    def _tell(self, chunk: int, digests: list[str]) -> None:
        population, self.pending = self.pending[:chunk], self.pending[chunk:]
        quality = np.array([self.quality[d] for d in digests[:chunk]])
        self.strategy.tell(population, self.candidates.values(population, quality))
        self.told += chunk
        self._save()

    def _digests(self) -> list[str]:
        return [a.digest for a in self.space.decode(self.pending)]

    def _save(self) -> None:
        state: dict[str, Any] = {
            "strategy": self.strategy.state(),
            "pending": self.pending.tolist(),
            "told": self.told,
        }
        self.context.store.put_state(self.context.job_id, self.name, state)
