"""Searching: the loop between a strategy and the supernet, shared by `search` and `verify`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.analysis.candidates import Candidates
from nas.evaluation import Split
from nas.problem import Levels
from nas.spec import StageName
from nas.stages.backends import EvaluationPool
from nas.stages.stage import StageContext
from nas.stages.states import SearchState
from nas.strategies import Strategy, get_strategy
from nas.strategies.history import PAID
from searchspaces.architecture import Architecture
from searchspaces.encoding import Population

__all__ = ["is_over", "search"]


def search(
    context: StageContext,
    stage: StageName,
    candidates: Candidates,
    pool: EvaluationPool,
    name: str,
    evaluations: int,
    minutes: float | None = None,
) -> None:
    """Let the job's strategy spend `evaluations` whole evaluations of quality, or more cheaper ones, but no
    more than end within so many minutes. First it is told all earlier evaluations of this supernet.

    Results are told in the order in which they were asked for, half a batch at a time, whichever process
    ends first: so the search is the same on any number of processes, yet none waits for a straggler until a
    whole batch is outstanding. The strategy's state and its pending candidates are stored with every step.

    Args:
        name: of the search's state in the store.
    """
    run = _Run(context, stage, candidates, pool, name, evaluations, minutes)
    while run.fill():
        run.wait()
    run.save(over=True)


def is_over(context: StageContext, name: str, evaluations: int) -> bool:
    """Whether the search of that name has spent its evaluations, or the space."""
    saved = SearchState.load(context.store, context.job_id, name)
    return saved.over or saved.told >= evaluations - PAID


@dataclass(frozen=True)
class _Asked:
    """One evaluation that the strategy waits for."""

    digest: str
    level: int


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
        minutes: float | None,
    ) -> None:
        plan = context.plan
        self.context, self.stage, self.candidates, self.pool = context, stage, candidates, pool
        self.space, self.supernet = plan.space, plan.supernet_digest
        self.name, self.budget = name, evaluations
        self.limit = math.inf if minutes is None else 60 * minutes
        self.batch = plan.spec.budget.search.batch
        self.shares = plan.spec.budget.search.fidelities
        make = get_strategy(plan.spec.budget.search.strategy)
        self.strategy: Strategy = make(candidates.problem(), plan.spec.seed)
        self.told = 0.0
        self.pending = np.empty((0, self.space.genes), np.int64)
        self.asked: list[_Asked] = []
        self.out: dict[_Asked, Architecture] = {}
        self.quality = {
            _Asked(e.digest, level): e.value
            for level, share in enumerate(self.shares)
            for e in context.store.evaluations(self.supernet, Split.VALIDATION, share=share)
        }
        self.best = math.nan
        for asked, value in self.quality.items():
            self._improve(asked, value)
        saved = SearchState.load(context.store, context.job_id, name)
        self.begun = time.monotonic() - saved.seconds
        if saved.strategy is None:
            self._tell_first()
        else:
            self.strategy.restore(dict(saved.strategy), context.store.journal(context.job_id, name))
            self.told = saved.told
            pending = np.array(saved.pending, np.int64).reshape(-1, self.space.genes)
            self._submit(pending, np.array(saved.levels, np.int64))

    def _tell_first(self) -> None:
        """All that was scored with this supernet before, each candidate at each fidelity."""
        architectures = self.context.store.architectures({asked.digest for asked in self.quality})
        inside = [
            asked
            for asked in self.quality
            if asked.digest in architectures and self.space.contains(architectures[asked.digest])
        ]
        if inside:
            self._tell(self.space.encode(architectures[asked.digest] for asked in inside), inside)

    def fill(self) -> bool:
        """Tell what has arrived, ask for more, submit it; whether anything is still out."""
        half = max(1, self.batch // 2)
        while True:
            chunk = min(half, len(self.pending))
            arrived = bool(chunk) and all(asked in self.quality for asked in self.asked[:chunk])
            if arrived:
                self._tell(self.pending[:chunk], self.asked[:chunk])
                self.told += self._cost(self.asked[:chunk])
                self.pending, self.asked = self.pending[chunk:], self.asked[chunk:]
            left = min(self.budget, self._affordable()) - self.told - self._cost(self.asked)
            room = min(self.batch - len(self.pending), int((left + PAID) / self.shares[0]))
            more = self.pending[:0]
            if room > 0 and (room >= half or not len(self.pending)):
                more = self.strategy.ask(room, left)
            if not arrived and not len(more):
                return bool(len(self.pending))
            self._submit(more, self.strategy.levels(more))
            self.save()

    def _seconds(self) -> float:
        return time.monotonic() - self.begun

    def _affordable(self) -> float:
        """Whole evaluations that end within the minutes if they take as long as those so far; a batch at
        least, which tells how long."""
        arrived = self.told + self._cost([asked for asked in self.asked if asked in self.quality])
        return max(self.batch, arrived * self.limit / self._seconds()) if arrived else math.inf

    def wait(self) -> None:
        """Take what has been evaluated, one at least, and store it."""
        evaluations = [self.pool.next(), *self.pool.drain()]
        answered = [_Asked(e.digest, self.shares.index(e.share)) for e in evaluations]
        self.context.store.add_evaluations(evaluations, [self.out.pop(asked) for asked in answered])
        for asked, evaluation in zip(answered, evaluations, strict=True):
            self.quality[asked] = evaluation.value
            self._improve(asked, evaluation.value)
            if not math.isfinite(evaluation.value):
                self.context.note(self.stage, f"evaluation of {evaluation.digest} failed")
        arrived = self._cost([asked for asked in self.asked if asked in self.quality])
        said = f"best {self.best:.3f} {self.context.plan.task.metric}"
        self.context.progress(self.stage, self.told + arrived, self.budget, said)
        self.context.check_stop()

    def _cost(self, asked: Sequence[_Asked]) -> float:
        """In whole evaluations."""
        return sum(self.shares[each.level] for each in asked)

    def _improve(self, asked: _Asked, value: float) -> None:
        """Note a quality that was scored with this supernet in full, unless it failed."""
        if self.shares[asked.level] < 1.0 or not math.isfinite(value):
            return
        sign = self.context.plan.task.direction.sign
        if math.isnan(self.best) or sign * value < sign * self.best:
            self.best = value

    def _tell(self, population: Population, asked: Sequence[_Asked]) -> None:
        quality = np.array([self.quality[each] for each in asked])
        values = self.candidates.values(population, quality, [each.digest for each in asked])
        self.strategy.tell(population, values, np.array([each.level for each in asked]))

    def _submit(self, population: Population, levels: Levels) -> None:
        """Wait for these from now on; evaluate those that never were."""
        self.pending = np.concatenate([self.pending, population])
        for architecture, level in zip(self.space.decode(population), levels.tolist(), strict=True):
            asked = _Asked(architecture.digest, level)
            self.asked.append(asked)
            if asked not in self.quality:
                self.out[asked] = architecture
                self.pool.submit(architecture, Split.VALIDATION, self.shares[level])

    def save(self, over: bool = False) -> None:
        """Store where the search stands, and what is new of it."""
        levels = [asked.level for asked in self.asked]
        state = SearchState(
            over, self.strategy.state(), self.told, self.pending.tolist(), levels, self._seconds()
        )
        state.save(self.context.store, self.context.job_id, self.name, self.strategy.journal_entry())
