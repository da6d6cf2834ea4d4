"""A cluster in virtual time: processes that take their time, finish out of order, and fail."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.bench.benchmarks import Benchmark
from nas.problem import Levels, Values
from nas.strategies import Strategy
from searchspaces.encoding import Population

__all__ = ["Simulation", "Trace"]


@dataclass
class Trace:
    """Evaluations in the order in which the strategy was told.

    Attributes:
        population: (n, genes) candidates.
        levels: (n,) at which of the problem's fidelities each was evaluated.
        values: (n, objectives) what the strategy was told; NaN where the evaluation failed.
        finished: (n,) virtual seconds at which each ended.
        idle: virtual seconds of processes spent waiting for a candidate.
    """

    population: Population
    levels: Levels
    values: Values
    finished: NDArray[np.float64]
    idle: float = 0.0


@dataclass
class Simulation:
    """Runs a strategy against a problem as a job would, without waiting.

    Args:
        processes: evaluations at once.
        seconds: virtual duration of one whole evaluation, drawn for each; 1 s by default. A cheaper one takes
            its share.
        failures: probability that an evaluation gives NaN.
        noise: standard deviation added to the expensive objectives; what sees a share of the data has more,
            by the root of the share, and is off by a constant, drawn once a run, ten times as large.
        batch: candidates asked at a time, as soon as that many processes are free (at most `processes`); 1
            asks whenever one is free, and so never waits for stragglers.
    """

    problem: Benchmark
    processes: int = 1
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
        """Spend so many whole evaluations, or fewer where the space is exhausted.

        Args:
            on_told: called with the number of evaluations told, after each telling.
        """
        rng = np.random.default_rng(seed)
        costs = np.array(self.problem.problem.fidelities)
        offsets = rng.normal(0.0, 10 * self.noise, len(costs)) * (costs < 1.0)
        told: list[tuple[Population, Levels, Values, float]] = []
        running: list[tuple[float, int, Population, Levels, Values]] = []
        now, started, left, idle, exhausted = 0.0, 0, float(evaluations), 0.0, False
        batch = min(self.batch, self.processes)
        while True:
            free = self.processes - len(running)
            while free >= batch and not exhausted:
                rows = strategy.ask(batch, left)
                levels = strategy.levels(rows)
                exhausted = not len(rows)
                left -= float(costs[levels].sum())
                for row, level, values in zip(
                    rows, levels, self._evaluate(rows, levels, offsets, rng), strict=True
                ):
                    end = now + self.seconds(rng) * costs[level]
                    heapq.heappush(running, (end, started, row[None], level[None], values[None]))
                    started += 1
                free = self.processes - len(running)
            if not running:
                break
            before, (now, _, *one) = now, heapq.heappop(running)
            idle += free * (now - before)
            done = [one]
            while running and running[0][0] == now:
                done.append(list(heapq.heappop(running)[2:]))
            population, levels, outcome = (np.concatenate(part) for part in zip(*done, strict=True))
            strategy.tell(population, outcome, levels)
            told.append((population, levels, outcome, now))
            exhausted = exhausted and left < costs[0]
            if on_told is not None:
                on_told(sum(len(rows) for rows, *_ in told))
        empty = np.empty((0, self.problem.problem.encoding.genes), np.int64)
        values = [np.empty((0, len(self.problem.problem.objectives))), *(v for _, _, v, _ in told)]
        return Trace(
            np.concatenate([empty, *(rows for rows, *_ in told)]),
            np.concatenate([np.empty(0, np.int64), *(levels for _, levels, _, _ in told)]),
            np.concatenate(values),
            np.concatenate([np.empty(0), *(np.full(len(rows), end) for rows, _, _, end in told)]),
            idle,
        )

    def _evaluate(
        self, population: Population, levels: Levels, offsets: Values, rng: np.random.Generator
    ) -> Values:
        values = self.problem.evaluate(population).copy()
        expensive = self.problem.problem.expensive
        if self.noise:
            noise = self.noise / np.sqrt(np.array(self.problem.problem.fidelities))
            drawn = rng.normal(0.0, 1.0, (len(values), len(expensive)))
            values[:, expensive] += drawn * noise[levels, None] + offsets[levels, None]
        if self.failures:
            values[rng.random(len(values)) < self.failures] = np.nan
        return values
