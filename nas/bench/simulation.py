"""A cluster in virtual time: workers that take their time, finish out of order, and fail."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.bench.problems import BenchProblem
from nas.strategies import Strategy
from nas.strategies.strategy import Values
from searchspaces.encoding import Population

__all__ = ["Simulation", "Trace"]


@dataclass
class Trace:
    """What happened, in the order of being told.

    Attributes:
        population: (n, genes) candidates.
        values: (n, objectives) what the strategy was told; NaN where the evaluation failed.
        finished: (n,) virtual seconds at which each ended.
        idle: virtual worker seconds spent waiting for a candidate.
    """

    population: Population
    values: Values
    finished: NDArray[np.float64]
    idle: float = 0.0


@dataclass
class Simulation:
    """Runs a strategy against a problem as a job would, without waiting.

    Args:
        workers: evaluations at once.
        seconds: virtual duration of one evaluation, drawn for each; 1 s by default.
        failures: probability that an evaluation gives NaN.
        noise: standard deviation added to the dear objectives.
        batch: candidates asked at a time, as soon as that many workers are free (at most `workers`); 1 asks
            whenever a worker is free, and so never waits for stragglers.
    """

    problem: BenchProblem
    workers: int = 1
    seconds: Callable[[np.random.Generator], float] = field(default=lambda rng: 1.0)
    failures: float = 0.0
    noise: float = 0.0
    batch: int = 1

    def run(
        self,
        strategy: Strategy,
        evaluations: int,
        seed: int = 0,
        on_told: Callable[[int], None] | None = None,
    ) -> Trace:
        """Spend so many evaluations, or fewer where the space is exhausted.

        Args:
            on_told: called with the number of evaluations told, after each telling.
        """
        rng = np.random.default_rng(seed)
        told: list[tuple[Population, Values, float]] = []
        running: list[tuple[float, int, Population, Values]] = []
        now, started, idle, exhausted = 0.0, 0, 0.0, False
        batch = min(self.batch, self.workers)
        while True:
            free = self.workers - len(running)
            while free >= batch and started < evaluations and not exhausted:
                rows = strategy.ask(min(batch, evaluations - started))
                exhausted = not len(rows)
                for row, values in zip(rows, self._evaluate(rows, rng), strict=True):
                    heapq.heappush(running, (now + self.seconds(rng), started, row[None], values[None]))
                    started += 1
                free = self.workers - len(running)
            if not running:
                break
            before, (now, _, row, values) = now, heapq.heappop(running)
            idle += free * (now - before)
            done = [(row, values)]
            while running and running[0][0] == now:
                done.append(heapq.heappop(running)[2:])
            population, outcome = (np.concatenate(part) for part in zip(*done, strict=True))
            strategy.tell(population, outcome)
            told.append((population, outcome, now))
            if on_told is not None:
                on_told(sum(len(rows) for rows, _, _ in told))
        empty = np.empty((0, self.problem.problem.encoding.genes), np.int64)
        values = [np.empty((0, len(self.problem.problem.objectives))), *(v for _, v, _ in told)]
        return Trace(
            np.concatenate([empty, *(rows for rows, _, _ in told)]),
            np.concatenate(values),
            np.concatenate([np.empty(0), *(np.full(len(rows), end) for rows, _, end in told)]),
            idle,
        )

    def _evaluate(self, population: Population, rng: np.random.Generator) -> Values:
        values = self.problem.evaluate(population).copy()
        dear = self.problem.problem.dear
        if self.noise:
            values[:, dear] += rng.normal(0.0, self.noise, (len(values), len(dear)))
        if self.failures:
            values[rng.random(len(values)) < self.failures] = np.nan
        return values
