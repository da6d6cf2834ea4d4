"""Searching: the loop between a strategy and the supernet, shared by `search` and `verify`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nas.evaluation import Split
from nas.job import StageName
from nas.objective import Objective, Source
from nas.stages.stage import EvaluationPool, Known, StageContext
from nas.strategies import Problem, Strategy, parse_strategy
from predictors import Prediction, Predictor
from searchspaces.architecture import Architecture
from searchspaces.encoding import Population
from workers.target import Target

__all__ = ["Candidates", "is_over", "search"]


class Candidates:
    """What is known of candidates at the moment: predictions, counts, measurements, qualities.

    Args:
        predictors: a fitted one for each target.
    """

    def __init__(self, context: Known, predictors: Mapping[Target, Predictor]) -> None:
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

    def known(self, population: Population, objectives: Sequence[Objective] | None = None) -> np.ndarray:
        """(n, k) values of the objectives that cost no evaluation, in order, by prediction.

        Args:
            objectives: the plan's where None.
        """
        counts = self.plan.counts(population)
        columns = []
        for objective in self.plan.objectives if objectives is None else objectives:
            if objective.source is Source.PREDICTED and objective.target is not None:
                columns.append(self.predictors[objective.target].predict(population).mean_ms)
            elif objective.source is Source.COUNTED:
                columns.append(counts[objective.name].astype(float))
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
    whole batch is out. What is new of the strategy, and what it has asked, is stored with every step.

    Args:
        name: under which the search's state is kept with the job.
        first_told: qualities by digest that the strategy hears before it asks (earlier rounds).
    """
    run = _Run(context, stage, candidates, pool, name, evaluations, first_told)
    while run.fill():
        run.wait()
    run.save(over=True)


def is_over(context: StageContext, name: str, evaluations: int) -> bool:
    """Whether the search of that name has spent its evaluations, or the space."""
    saved = context.store.state(context.job_id, name) or {}
    return bool(saved.get("over")) or saved.get("told", 0) >= evaluations


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
        self.told = 0
        self.pending = np.empty((0, self.space.genes), np.int64)
        self.digests: list[str] = []
        self.out: dict[str, Architecture] = {}
        self.quality = {e.digest: e.value for e in context.store.evaluations(self.supernet, Split.VALIDATION)}
        self.best = math.nan
        for value in self.quality.values():
            self._improve(value)
        saved = context.store.state(context.job_id, name)
        if saved is None:
            self._tell_first(first_told)
        else:
            self.strategy.restore(saved["strategy"], context.store.journal(context.job_id, name))
            self.told = int(saved["told"])
            self._submit(np.array(saved["pending"], np.int64).reshape(-1, self.space.genes))

    def _tell_first(self, first_told: Mapping[str, float]) -> None:
        architectures = self.context.store.architectures(first_told)
        inside = [d for d in first_told if d in architectures and self.space.contains(architectures[d])]
        if inside:
            population = self.space.encode(architectures[d] for d in inside)
            quality = np.array([first_told[d] for d in inside])
            self.strategy.tell(population, self.candidates.values(population, quality))

    def fill(self) -> bool:
        """Tell what has arrived, ask for more, submit it; whether anything is still out."""
        half = max(1, self.batch // 2)
        while True:
            chunk = min(half, len(self.pending))
            arrived = bool(chunk) and all(digest in self.quality for digest in self.digests[:chunk])
            if arrived:
                self._tell(chunk)
            room = min(self.batch - len(self.pending), self.budget - self.told - len(self.pending))
            asked = self.pending[:0]
            if room > 0 and (room >= half or not len(self.pending)):
                asked = self.strategy.ask(room)
            if not arrived and not len(asked):
                return bool(len(self.pending))
            self._submit(asked)
            self.save()

    def wait(self) -> None:
        """Take what has been evaluated, one at least, and store it."""
        evaluations = [self.pool.next(), *self.pool.drain()]
        self.context.store.add_evaluations(evaluations, [self.out.pop(e.digest) for e in evaluations])
        for evaluation in evaluations:
            self.quality[evaluation.digest] = evaluation.value
            self._improve(evaluation.value)
            if not math.isfinite(evaluation.value):
                self.context.note(self.stage, f"evaluation of {evaluation.digest} failed")
        arrived = sum(digest in self.quality for digest in self.digests)
        said = f"best {self.best:.3f} {self.context.plan.task.metric}"
        self.context.progress(self.stage, self.told + arrived, self.budget, said)
        self.context.check_stop()

    def _improve(self, value: float) -> None:
        """Note a quality scored with this supernet, unless it failed."""
        if not math.isfinite(value):
            return
        sign = self.context.plan.task.direction.sign
        if math.isnan(self.best) or sign * value < sign * self.best:
            self.best = value

    def _tell(self, chunk: int) -> None:
        population, self.pending = self.pending[:chunk], self.pending[chunk:]
        digests, self.digests = self.digests[:chunk], self.digests[chunk:]
        quality = np.array([self.quality[digest] for digest in digests])
        self.strategy.tell(population, self.candidates.values(population, quality, digests))
        self.told += chunk

    def _submit(self, asked: Population) -> None:
        """Wait for these from now on; evaluate those that never were."""
        self.pending = np.concatenate([self.pending, asked])
        for architecture in self.space.decode(asked):
            self.digests.append(architecture.digest)
            if architecture.digest not in self.quality:
                self.out[architecture.digest] = architecture
                self.pool.submit(architecture, Split.VALIDATION)

    def save(self, over: bool = False) -> None:
        """Store where the search stands, and what is new of it."""
        state: dict[str, Any] = {
            "over": over,
            "strategy": self.strategy.state(),
            "pending": self.pending.tolist(),
            "told": self.told,
        }
        self.context.store.put_state(self.context.job_id, self.name, state, self.strategy.news())
